-- queue/list: the jobs in a state, a page at a time.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2 state, 3 at most how many, 4 about how many bytes of records may be read, 5.. what was seen last, if anything:
--         5 priority and position (ready) or time in ms, 6 element of the list, or member; behind a reference how many jobs
--         of the parcel come behind (2 bytes) and the packed id
-- Returns 'listed', where this page ends (as ARGV 5 and 6; both empty at the end), then for each job: packed id, the first 9 and
--         the last 6 bytes of its record, state without progress and result or '', time in ms or ''
-- Retry   reads only
-- Cost    n jobs: 3 commands per 50 or parcel, O(n + log s) with s in that state; ready: O(position); scheduled: 2 more per shelf
-- Goes through the 50 entries that `next_page(at)` returns for a position, and so on. Stops where the page is full.
local function walk(at, next_page, mark)
  while pages < 40 do
    local ids, times, marks = next_page(at)
    if #ids == 0 then return true end
    local records, states = call('HMGET', jobs, unpack(ids)), call('HMGET', state, unpack(ids))
    for i, id in ipairs(ids) do
      if found == limit or room <= 0 then return false end
      at = at + 1
      if byte(id) == 0 then
        if not show_parcel(id, times[i] or '', mark(at - 1, times[i])) then return false end
        reply[2], reply[3] = mark(at - 1, times[i]), marks[i]
      else
        show(id, times[i] or '', records[i], states[i])
        reply[2], reply[3] = mark(at - 1, times[i]), marks[i]
      end
    end
    pages = pages + 1
  end
  return false
end

local is_end
if place == 'scheduled' and summary then
  is_end = list_scheduled(ARGV[5], last_seen)
elseif place == 'ready' then
  local first, seen = tonumber(sub(ARGV[5] or '0', 1, 1)), tonumber(sub(ARGV[5] or '00', 2))
  for priority = first, 3 do
    local at, key = 0, ready(priority)
    if priority == first and last_seen then
      -- What was seen last has moved towards the head, or was claimed with all before it.
      at = (call('LPOS', key, last_seen, 'MAXLEN', seen + 101) or -1) + (last_inside and 0 or 1)
    end
    is_end = walk(math.max(at, 0), function(from)
      local ids = call('LRANGE', key, from, from + 49)
      return ids, {}, ids
    end, function(position) return priority .. decimal(position) end)
    if not is_end then break end
  end
else
  local key = places[place].key
  local at = rank_behind(key, ARGV[5], last_seen)
  if last_inside and call('ZSCORE', key, last_seen) == ARGV[5] then at = at - 1 end
  is_end = walk(at, function(from) return entries(key, from) end, function(_, time) return time end)
end
if is_end then reply[2], reply[3] = '', '' end
return reply
