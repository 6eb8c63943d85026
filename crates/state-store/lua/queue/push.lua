-- queue/push: puts jobs into a queue.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list)
-- ARGV    1 clock, 2 n, 3 the priority if all are of one, their ids differ, and none has a delay or a unique key, else '',
--         4.. n packed ids, n records without the time of the push, then the delay in ms of each that has one
-- Returns 'pushed', then for each job that was not accepted: its position from 0, 'duplicate' or 'held', '' or the holder
-- Retry   recognised by id and request as long as the job is retained
-- Cost    n jobs: 6 commands and one per 50 jobs, O(n), O(n log s) with s scheduled; up to 5 more per job with a unique key
local n = tonumber(ARGV[2])
local next_delay, pushed_at, earliest = 4 + 2 * n, pack('>I6', now), nil
local refused, ids, records, tails, add_due = { 'pushed' }, {}, {}, { [0] = {}, {}, {}, {} }, {}

-- Whether a job that is stored counts: a completed one whose time is over is forgotten here.
local function counts(id, record)
  local last = call('ZSCORE', completed, id)
  if not last or tonumber(last) > now or status_of(id) ~= 'c' then return true end
  call('HINCRBY', meta, 'completed_bytes', -#record - call('HSTRLEN', state, id))
  call('HDEL', jobs, id)
  call('HDEL', state, id)
  call('ZREM', completed, id)
  return false
end

local function refuse(...)
  for _, value in ipairs({ ... }) do refused[#refused + 1] = value end
end

local function accept(id, record, priority, delay)
  if delay then
    add_due[#add_due + 1] = decimal(now + delay)
    add_due[#add_due + 1] = priority .. id
    earliest = math.min(earliest or now + delay, now + delay)
  else
    table.insert(tails[priority], id)
  end
  accepted[id], ids[#ids + 1] = record, id
  records[#records + 1] = id
  records[#records + 1] = record .. pushed_at
end

for first = 1, n, 50 do
  local last = math.min(first + 49, n)
  local stored = call('HMGET', jobs, unpack(ARGV, first + 3, last + 3))
  for index = first, last do
    local id, record, delay = ARGV[index + 3], ARGV[index + 3 + n], nil
    local flags, priority = byte(record, 2, 3)
    local known = accepted[id] or stored[index - first + 1]
    if flags % 16 >= 8 then
      delay, next_delay = tonumber(ARGV[next_delay]), next_delay + 1
    end
    if known and (accepted[id] or counts(id, known)) then
      if sub(known, 6, 9) ~= sub(record, 6, 9) then refuse(index - 1, 'duplicate', '') end
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

local is_news = earliest and earliest < (first_score(due) or math.huge)
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
if is_news then news() end
return refused
