-- queue/explain: why a job does not run.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2 packed id
-- Returns 'unknown', or where it is, state or '', the time of the place in ms or '', whether the queue is paused (0 or 1), how many
--         ready jobs of its priority and of higher ones there are, itself included, and now in ms
-- Retry   reads only
-- Cost    up to 16 commands, O(bytes of the job, or of its parcel or shelf; up to 1,000 elements of the lists before it)
local place, record, s, at = find(ARGV[2])
if place == 'unknown' then return { place } end
local ahead = 0
if place == 'ready' then
  for priority = 0, byte(record, 3) do
    local elements = call('LRANGE', ready(priority), 0, 999)
    for _, element in ipairs(elements) do
      ahead = ahead + (byte(element) == 0 and byte(element, 12) or 1)
    end
    -- Behind those, at most as many as there are.
    if #elements == 1000 then ahead = ahead + call('LLEN', ready(priority)) - 1000 + (call('HGET', parcel_of, '\0') or 0) end
  end
end
return { place, s, at, call('HEXISTS', meta, 'paused'), ahead, now }
