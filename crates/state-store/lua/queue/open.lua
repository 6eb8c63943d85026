-- queue/open: the shape of a queue, from its partition 0.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape to record if there is none, or ''
-- Returns 'opened', the shape or ''
-- Retry   changes nothing
-- Cost    1 command, or 2 if it records the shape, O(1)
-- needs: call, meta
if ARGV[2] ~= '' then call('HSETNX', meta, 'shape', ARGV[2]) end
return { 'opened', call('HGET', meta, 'shape') or '' }
