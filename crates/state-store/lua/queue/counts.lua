-- queue/counts: how many jobs are in each state.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape
-- Returns 'shape' and the recorded one, or 'counts', ready, scheduled and running together,
--         scheduled, running, completed, dead, whether the queue is paused (0 or 1)
-- Retry   reads only
-- Cost    3 commands, O(1)
-- needs: call, completed, dead, meta
local fields = call('HMGET', meta, 'shape', 'alive', 'scheduled', 'running', 'paused')
if fields[1] and fields[1] ~= ARGV[2] then return { 'shape', fields[1] } end
return { 'counts', fields[2] or 0, fields[3] or 0, fields[4] or 0, call('ZCARD', completed),
  call('ZCARD', dead), fields[5] and 1 or 0 }
