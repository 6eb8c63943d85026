-- schedule/put: creates or changes a schedule.
-- KEYS    those of keys.lua, 15 schedules, 16 schedule_names (sorted sets), 17 call: see once.lua
-- ARGV    1 clock, 2 shape, 3 name, 4 expected version (digits) or '', 5 times, options, payload, 6
--         ms for which the call is remembered
-- Returns 'shape' and the recorded one or '' | 'stored' or 'conflict', the stored version (0: none)
-- Retry   remembered until the last copy's deadline; and writes the same again
-- Cost    up to 7 commands, O(log n + bytes) with n schedules
-- needs: NO_FIRING, call, decimal, jobs, meta, no_schedule, now, now_up, remember, sub
local shape = call('HGET', meta, 'shape')
if shape ~= ARGV[2] then return { 'shape', shape or '' } end
local name, expected, times = ARGV[3], ARGV[4], ARGV[5]
local field, status, version, since = '\3' .. name, 'a', 0, string.format('%015.0f', now_up)
local past, stored = string.rep('\0', 16) .. NO_FIRING, call('HGET', jobs, field)
if stored then
  if no_schedule(stored) then return no_schedule(stored) end
  version = tonumber(sub(stored, 3, 18))
  if sub(stored, 107) == times then
    call('HSET', jobs, field, stored)
    return remember({ 'stored', decimal(version) })
  end
  status, past = sub(stored, 2, 2), sub(stored, 34, 106)
  local size = struct.unpack('>I2', times)
  local last = sub(stored, 19, 33)
  -- The clock may have gone back: what has fired does not fire again.
  if last > since or sub(stored, 107, 108 + size) == sub(times, 1, 2 + size) then since = last end
end
if expected ~= '' and tonumber(expected) ~= version then
  return { 'conflict', decimal(version) }
end
version = version + 1
-- The indexes first, so that `due` finds what an interrupted script leaves. The next time is
-- computed when it is due: now.
if status == 'a' then call('ZADD', KEYS[15], decimal(now), name) end
call('ZADD', KEYS[16], 0, name)
local head = '\1' .. status .. string.format('%016.0f', version) .. since
call('HSET', jobs, field, head .. past .. times)
return remember({ 'stored', decimal(version) })
