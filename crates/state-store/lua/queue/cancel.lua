-- queue/cancel: removes a job that does not run, asks the worker of one that does to stop.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2 packed id
-- Returns 'removed', 'requested', 'finished' or 'unknown'
-- Retry   finds what the first time made of it: 'unknown' after 'removed'
-- Cost    up to 12 commands, in a parcel that runs 19, O(bytes of the job, or of its parcel, + log s) with s
--         scheduled; on a shelf 18 more, O(64 KiB)
stand_alone({ ARGV[2] })
local place, record, s, _, ref, lease = find(ARGV[2])
if place == 'ready' or place == 'scheduled' then
  remove(ARGV[2], record, ref)
  return { 'removed' }
elseif lease then
  take_out(ref, function(id) return id == ARGV[2] end, 1)
  return { 'requested' }
elseif place == 'running' then
  local flags = byte(s, 27)
  call('HSET', state, ARGV[2], sub(s, 1, 26) .. char(flags - flags % 2 + 1) .. sub(s, 28))
  return { 'requested' }
end
if place == 'unknown' and ref then move({ ARGV[2] }) end
return { place == 'unknown' and place or 'finished' }
