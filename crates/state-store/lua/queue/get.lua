-- queue/get: one job.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 packed id
-- Returns 'shape' and the recorded one, or where the job is, its record, state or '', the time of
--         the place in ms or ''
-- Retry   reads only
-- Cost    up to 6 commands, O(bytes of the job or of its batch)
-- needs: call, find, meta
local shape = call('HGET', meta, 'shape')
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local place, record, s, at = find(ARGV[3])
return { place, record, s, at }
