-- schedule/get: a schedule.
-- KEYS    those of keys.lua, 15 schedules, 16 schedule_names (sorted sets)
-- ARGV    1 clock, 2 shape, 3 name
-- Returns 'shape' and the recorded one | 'schedule' and its record: see record.lua | 'absent'
-- Retry   reads only
-- Cost    2 commands, O(bytes)
-- needs: call, jobs, meta
local shape = call('HGET', meta, 'shape')
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local stored = call('HGET', jobs, '\3' .. ARGV[3])
if not stored then return { 'absent' } end
return { 'schedule', stored }
