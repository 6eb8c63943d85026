-- queue/replay: makes dead jobs ready again, as if they had never been claimed.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2.. packed ids
-- Returns 'replayed', then for each job whether it was dead (0 or 1)
-- Retry   finds what the first time made of it: 0 after 1
-- Cost    n jobs: up to 7 n commands, O(n log d) with d dead
local reply, is_news = { 'replayed' }, false
for i = 2, #ARGV do
  local id = ARGV[i]
  local s, bytes = call('HGET', state, id), call('HSTRLEN', jobs, id)
  local was_dead = s and sub(s, 1, 1) == 'd' and bytes > 0
  if was_dead then
    call('RPUSH', ready(byte(s, 20)), id)
    -- A state that is there: its deadline does not count again.
    call('HSET', state, id, 'w' .. string.rep('0', 16) .. '\0\0' .. sub(s, 20, 26) .. '\0\0\0\0')
    call('ZREM', dead, id)
    call('HINCRBY', meta, 'dead_bytes', decimal(-ENTRY - bytes - #s))
    is_news = true
  end
  reply[i] = was_dead and 1 or 0
end
if is_news then news() end
return reply
