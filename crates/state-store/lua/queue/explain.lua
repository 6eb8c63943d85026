-- queue/explain: why a job does not run.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes)
-- ARGV    1 clock, 2 packed id
-- Returns 'unknown', or where it is, state or '', the time of the place in ms or '', whether the queue is paused (0 or 1), how many
--         ready jobs of its priority and of higher ones there are, itself included, and now in ms
-- Retry   reads only
-- Cost    up to 14 commands, O(bytes of the job, or of its parcel, + parcels that run)
local place, record, s, at = find(ARGV[2])
if place == 'unknown' then return { place } end
local ahead = 0
if place == 'ready' then
  local inside, running = parcels_running()
  -- A parcel is one element of its list.
  ahead = call('HLEN', parcel_of) - inside - call('HLEN', parcels) + running
  for priority = 0, byte(record, 3) do ahead = ahead + call('LLEN', ready(priority)) end
end
return { place, s, at, call('HEXISTS', meta, 'paused'), ahead, now }
