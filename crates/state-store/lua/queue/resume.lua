-- queue/resume: allows claims again.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape
-- Returns 'shape' and the recorded one, or 'resumed'
-- Retry   changes nothing
-- Cost    up to 6 commands, O(1)
-- needs: call, meta, publish, wake
local shape = call('HGET', meta, 'shape')
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
call('HDEL', meta, 'paused')
wake()
publish()
return { 'resumed' }
