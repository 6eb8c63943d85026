-- queue/delete: forgets jobs that do not run.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2.. packed ids
-- Returns 'deleted', then for each job 'deleted', 'running' or 'unknown'
-- Retry   finds what the first time made of it: 'unknown' after 'deleted'
-- Cost    n jobs: up to 12 n commands, O(bytes of the jobs and of their parcels + n log s) with s in their states; per job on a shelf
--         4 more, and per shelf 14, O(64 KiB)
stand_alone({ unpack(ARGV, 2) })
local reply = { 'deleted' }
for i = 2, #ARGV do
  local id = ARGV[i]
  local place, record, s, _, ref = find(id)
  if place == 'running' or place == 'unknown' then
    if place == 'unknown' and ref then move({ id }) end
    reply[i] = place
  else
    local bytes = ENTRY + #(record or '') + #(s or '')
    remove(id, record, ref)
    if place == 'completed' or place == 'dead' then
      call('ZREM', place == 'dead' and dead or completed, id)
      call('HINCRBY', meta, place .. '_bytes', decimal(-bytes))
    end
    reply[i] = 'deleted'
  end
end
return reply
