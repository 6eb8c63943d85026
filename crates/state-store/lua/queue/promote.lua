-- queue/promote: makes scheduled jobs ready.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2.. packed ids
-- Returns 'promoted', then for each job whether it was scheduled (0 or 1)
-- Retry   finds what the first time made of it: 0 after 1
-- Cost    n jobs: up to 4 n commands, O(n log s) with s scheduled; per job on a shelf 4 more, and per shelf 14, O(64 KiB)
stand_alone({ unpack(ARGV, 2) })
local reply, is_news = { 'promoted' }, false
for i = 2, #ARGV do
  local id = ARGV[i]
  local scores = call('ZMSCORE', due, '0' .. id, '1' .. id, '2' .. id, '3' .. id)
  reply[i] = 0
  for priority = 0, 3 do
    if scores[priority + 1] then
      if call('HEXISTS', jobs, id) == 1 then
        call('RPUSH', ready(priority), id)
        reply[i], is_news = 1, true
      end
      call('ZREM', due, priority .. id)
    end
  end
end
if is_news then news() end
return reply
