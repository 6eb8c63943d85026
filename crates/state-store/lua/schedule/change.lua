-- schedule/change: pauses, resumes or deletes a schedule.
-- KEYS    those of keys.lua, 15 schedules, 16 schedule_names (sorted sets), 17 call: see once.lua
-- ARGV    1 clock, 2 shape, 3 'pause', 'resume' or 'delete', 4 name, 5 ms for which the call is
--         remembered
-- Returns 'shape' and the recorded one | 'changed' | 'absent'
-- Retry   remembered until the last copy's deadline
-- Cost    up to 6 commands, O(log n + bytes) with n schedules
-- needs: call, decimal, jobs, meta, no_schedule, now, now_up, remember, sub
local shape = call('HGET', meta, 'shape')
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local action, name, field = ARGV[3], ARGV[4], '\3' .. ARGV[4]
if action == 'delete' then
  call('HDEL', jobs, field)
  call('ZREM', KEYS[16], name)
  call('ZREM', KEYS[15], name)
  return remember({ 'changed' })
end
local stored = call('HGET', jobs, field)
if not stored then return remember({ 'absent' }) end
if no_schedule(stored) then return no_schedule(stored) end
if action == 'pause' then
  call('HSET', jobs, field, '\1p' .. sub(stored, 3))
  call('ZREM', KEYS[15], name)
elseif sub(stored, 2, 2) == 'p' then
  call('ZADD', KEYS[15], decimal(now), name)
  -- The clock may have gone back since: what has fired does not fire again.
  local since = string.format('%015.0f', math.max(now_up, tonumber(sub(stored, 19, 33))))
  call('HSET', jobs, field, '\1a' .. sub(stored, 3, 18) .. since .. sub(stored, 34))
end
return remember({ 'changed' })
