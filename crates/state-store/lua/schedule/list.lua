-- schedule/list: the schedules of a queue, by name. Removes names that an interrupted script left.
-- KEYS    those of keys.lua, 15 schedules, 16 schedule_names (sorted sets)
-- ARGV    1 clock, 2 shape, 3 how many, at most, 4 after which name; empty: from the first
-- Returns 'shape' and the recorded one | 'schedules', the name after which the next page begins or
--         nil, then name and record of each
-- Retry   reads only, but for stale names
-- Cost    O(log n + m + bytes) with n schedules and m requested; ends after 1 MiB
-- needs: call, jobs, meta
local shape, limit = call('HGET', meta, 'shape'), tonumber(ARGV[3])
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local reply, bytes, last = { 'schedules', false }, 0, nil
local from = ARGV[4] == '' and '-' or '(' .. ARGV[4]
for index, name in ipairs(call('ZRANGEBYLEX', KEYS[16], from, '+', 'LIMIT', 0, limit + 1)) do
  if index > limit or bytes > 2 ^ 20 then
    reply[2] = last
    break
  end
  last = name
  local stored = call('HGET', jobs, '\3' .. name)
  if not stored then
    call('ZREM', KEYS[16], name)
  else
    reply[#reply + 1], reply[#reply + 2] = name, stored
    bytes = bytes + #stored
  end
end
return reply
