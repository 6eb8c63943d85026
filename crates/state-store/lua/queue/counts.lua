-- queue/counts: how many jobs are in each state.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed,
--         10 dead (sorted sets), 11 unique (hash), 12 unique_until (sorted set), 13 meta (hash),
--         14 waiters (hash)
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
