-- queue/get: one job.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2 packed id
-- Returns 'unknown', or where it is, record, state or '', the time of the place in ms or ''
-- Retry   reads only
-- Cost    up to 11 commands, O(bytes of the job, or of its parcel or shelf, + log s) with s scheduled
local place, record, s, at = find(ARGV[2])
return { place, record, s, at }
