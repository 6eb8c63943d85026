-- queue/resume: allows claims again.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock
-- Returns 'resumed'
-- Retry   changes nothing
-- Cost    up to 4 commands, O(1)
call('HDEL', meta, 'paused')
news()
return { 'resumed' }
