-- queue/pause: stops claims.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed,
--         10 dead (sorted sets), 11 unique (hash), 12 unique_until (sorted set), 13 meta (hash),
--         14 waiters (hash)
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
