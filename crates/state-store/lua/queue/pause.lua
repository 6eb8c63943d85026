-- queue/pause: stops claims.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape
-- Returns 'shape' and the recorded one, or 'paused'
-- Retry   changes nothing
-- Cost    2 commands, O(1)
-- needs: call, meta
local shape = call('HGET', meta, 'shape')
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
if not shape and ARGV[2] ~= '' then call('HSET', meta, 'shape', ARGV[2]) end
call('HSET', meta, 'paused', '1')
return { 'paused' }
