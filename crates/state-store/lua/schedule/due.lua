-- schedule/due: the schedules whose time has come. Removes index entries that an interrupted script
-- left.
-- KEYS    those of keys.lua, 15 schedules, 16 schedule_names (sorted sets)
-- ARGV    1 clock, 2 shape, 3 how many, at most; beside them up to 200 that cannot be read
-- Returns 'shape' and the recorded one | 'due', now in ms, the ms until the next one is due or nil,
--         then name and record of each
-- Retry   reads only, but for stale entries
-- Cost    2 commands if none is due, otherwise 2 and 1 for each; O(log n + m + bytes) with n
--         schedules and m due; ends after 1 MiB
-- needs: call, decimal, jobs, meta, no_schedule, now, sub
local shape, most = call('HGET', meta, 'shape'), tonumber(ARGV[3])
local last = most + 200
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local reply, bytes, is_left = { 'due', decimal(now), false }, 0, false
local first = call('ZRANGE', KEYS[15], 0, 0, 'WITHSCORES')[2]
if first and tonumber(first) > now then reply[3] = decimal(first - now) end
if not first or tonumber(first) > now then return reply end
local names = call('ZRANGEBYSCORE', KEYS[15], '-inf', decimal(now), 'LIMIT', 0, last + 1)
for index, name in ipairs(names) do
  if most == 0 or index > last or bytes > 2 ^ 20 then
    is_left = true
    break
  end
  local stored = call('HGET', jobs, '\3' .. name)
  if not stored then call('ZREM', KEYS[16], name) end
  -- The caller names those that it cannot read.
  if stored and (no_schedule(stored) or sub(stored, 2, 2) == 'a') then
    if not no_schedule(stored) then most = most - 1 end
    reply[#reply + 1], reply[#reply + 2] = name, stored
    bytes = bytes + #stored
  else
    call('ZREM', KEYS[15], name)
  end
end
local from = '(' .. decimal(now)
local later = not is_left
  and call('ZRANGEBYSCORE', KEYS[15], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
if is_left then reply[3] = '0' elseif later then reply[3] = decimal(later - now) end
return reply
