-- queue/replay: makes dead jobs ready again, as if they had never been claimed.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2.. packed ids
-- Returns 'replayed', then for each job 'replayed', 'held' or 'not_dead', and the holder of its unique key or ''
-- Retry   finds the result of the first run: 'not_dead' after 'replayed'
-- Cost    n jobs: up to 7 n commands, O(n log d + bytes) with d dead; up to 5 more per job with a unique key, and O(64 KiB) if
--         the holder is on a shelf
local reply, is_news = { 'replayed' }, false

-- The unique key that the job is to hold again, who holds it, its letter, and what it adds to the flags of the state. One that is
-- held for a time is not taken again: its time began with the push.
local function key_of(id)
  local record = call('HGET', jobs, id)
  local kind = byte(record, 2) % 4
  if kind == 0 or kind == 3 then return nil end
  local key = unique_of(record)
  return key, holder_of(key), kind == 1 and 'c' or 'f', kind == 1 and '\16' or '\0'
end

for i = 2, #ARGV do
  local id, answer, holder = ARGV[i], 'not_dead', nil
  local s, bytes = call('HGET', state, id), call('HSTRLEN', jobs, id)
  if s and sub(s, 1, 1) == 'd' and bytes > 0 then
    local key, by, letter, flags = key_of(id)
    answer, holder = by and 'held' or 'replayed', by
    if not by then
      call('RPUSH', ready(byte(s, 20)), id)
      if key then call('HSET', unique, key, letter .. id) end
      -- The state exists; its deadline does not count again.
      call('HSET', state, id, 'w' .. string.rep('0', 16) .. '\0\0' .. sub(s, 20, 26) .. (flags or '\0') .. '\0\0\0')
      call('ZREM', dead, id)
      call('HINCRBY', meta, 'dead_bytes', decimal(-ENTRY - bytes - #s))
      is_news = true
    end
  end
  reply[#reply + 1], reply[#reply + 2] = answer, holder or ''
end
if is_news then news() end
return reply
