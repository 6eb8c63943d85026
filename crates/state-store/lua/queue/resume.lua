-- queue/resume: allows claims again.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed,
--         10 dead (sorted sets), 11 unique (hash), 12 unique_until (sorted set), 13 meta (hash),
--         14 waiters (hash)
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
