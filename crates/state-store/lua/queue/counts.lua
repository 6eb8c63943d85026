-- queue/counts: how many jobs are in each state.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list)
-- ARGV    1 clock
-- Returns 'counts', jobs, scheduled, running, completed, dead, whether the queue is paused (0 or 1)
-- Retry   reads only
-- Cost    6 commands, O(1)
return { 'counts', call('HLEN', jobs), call('ZCARD', due), call('ZCARD', leased), call('ZCARD', completed),
  call('ZCARD', dead), call('HEXISTS', meta, 'paused') }
