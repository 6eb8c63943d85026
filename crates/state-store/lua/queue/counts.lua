-- queue/counts: how many jobs are in each state.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock
-- Returns 'counts', jobs, scheduled, running, completed, dead, whether the queue is paused (0 or 1)
-- Retry   reads only
-- Cost    8 commands, O(parcels that run)
local inside, leases = 0, call('HVALS', parcel_leases)
for _, lease in ipairs(leases) do inside = inside + unpack_bytes('>I2', lease, 17) end
local paused, summary = unpack(call('HMGET', meta, 'paused', 'shelves'))
local shelved = summary and unpack_bytes('>I6', summary, 7) or 0
local all = call('HLEN', jobs) + (call('HGET', parcel_of, '\0') or 0) + shelved
return { 'counts', all, call('ZCARD', due) + shelved, call('ZCARD', leased) - #leases + inside,
  call('ZCARD', completed), call('ZCARD', dead), paused and 1 or 0 }
