-- queue/open: the shape of a queue, from its partition 0.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed,
--         10 dead (sorted sets), 11 unique (hash), 12 unique_until (sorted set), 13 meta (hash),
--         14 waiters (hash)
-- ARGV    1 clock, 2 shape to record if there is none, or ''
-- Returns 'opened', the shape or ''
-- Retry   changes nothing
-- Cost    1 command, or 2 if it records the shape, O(1)
-- needs: call, meta
if ARGV[2] ~= '' then call('HSETNX', meta, 'shape', ARGV[2]) end
return { 'opened', call('HGET', meta, 'shape') or '' }
