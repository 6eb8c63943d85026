-- queue/push: puts jobs into a queue.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2 n, 3 the priority if all are of one, their ids differ, and none has a delay, a deadline or a unique key,
--         else '', 4.. (several with a priority) parcels, each with the runs of its ids if they have families, else '', or (else) n
--         packed ids, n records; then, for one with a priority, the run of its id or ''; without a priority, the delay in ms of each
--         that has one, and, if one has, the bounds of shelves. A run: see named.lua
-- Returns 'pushed', then for each job that was not accepted: its position from 0, 'duplicate' or 'held', '' or the holder
-- Retry   recognised by id and request as long as the job is retained
-- Cost    n plain jobs: 8 commands, O(n), with ids made together O(n / 64 + bytes); where jobs stand alone or on shelves one more
--         per 500 jobs; others: 7 commands and two per 50 jobs, O(n log s)
--         with s scheduled; up to 5 more per job with a unique key. Where thousands are scheduled: for every sixth delayed job 5
--         more, or, if there are enough around it for a shelf, up to 115 and O(64 KiB). Where there are shelves: one more per 50
--         jobs, and for each that stands on one already 5 and O(64 KiB)
local refused, ids, records, tails, add_due = { 'pushed' }, {}, {}, { [0] = {}, {}, {}, {} }, {}

local function refuse(...)
  for _, value in ipairs({ ... }) do refused[#refused + 1] = value end
end

local function accept(id, record, priority, delay)
  if delay then
    add_due[#add_due + 1] = decimal(now_up + delay)
    add_due[#add_due + 1] = priority .. id
    earliest = math.min(earliest or now_up + delay, now_up + delay)
  else
    table.insert(tails[priority], id)
  end
  accepted[id], ids[#ids + 1] = record, id
  records[#records + 1] = id
  records[#records + 1] = record
end

for first = 1, n, 50 do
  local last = math.min(first + 49, n)
  local stored = call('HMGET', jobs, unpack(given, first + 3, last + 3))
  local inside = refs_of({ unpack(given, first + 3, last + 3) })
  local on_shelves = summary and indexed(given, first + 3, last + 3) or {}
  for index = first, last do
    local id, record, delay = given[index + 3], packed[index] or ARGV[index + 3 + n] .. pushed_at, nil
    local flags, priority = byte(record, 2, 3)
    local request = request_of(id, stored[index - first + 1], inside[index - first + 1], on_shelves[id])
    if flags % 16 >= 8 then
      delay, next_delay = tonumber(ARGV[next_delay]), next_delay + 1
    end
    if request then
      if request ~= sub(record, 6, 9) then refuse(index - 1, 'duplicate', '') end
    else
      local key, rest = unique_of(record)
      local holder = key and holder_of(key)
      if holder then
        refuse(index - 1, 'held', holder)
      else
        if key then hold(key, id, flags % 4, record, rest) end
        accept(id, record, priority, delay)
      end
    end
  end
end

local is_news = earliest and earliest < math.min(first_score(due) or math.huge, first_score(shelves_due) or math.huge)
move(dangling)
many('HDEL', state, ids)
many('HSET', unique, add_unique)
for priority = 0, 3 do
  is_news = is_news or #tails[priority] > 0
  many('RPUSH', ready(priority), tails[priority])
end
many('ZADD', due, add_due)
many('HSET', jobs, records)
many('ZADD', unique_until, add_until)
many('HSET', unique, add_elapsed)
if #add_elapsed > 0 then collect_unique(#add_elapsed / 2 + 32) end
if #ids == 0 then call('HSET', meta, 'repeated', '1') end -- only what writes can be waited for
if #add_due > 0 then shelve_some(add_due) end
if is_news then news() end
return refused
