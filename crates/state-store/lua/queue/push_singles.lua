-- Pushes single jobs: with ids of the caller, a deadline or a unique key.
-- needs: ENTRY, batch_of, blob_of, collect_unique, count, enqueue, holder_of, many, push_time
-- needs: record_in, salt, unique_of

-- What a push collects.
local function new_push()
  return { ids = {}, records = {}, dues = {}, tails = { [0] = {}, {}, {}, {} }, accepted = {},
    held = {}, removed = {}, unique = {}, elapsed = {}, untils = {} }
end

-- Whether a stored job counts: a completed one whose time is over is removed here.
local function is_kept(id, record)
  local last = call('ZSCORE', completed, id)
  local s = last and tonumber(last) <= now and call('HGET', state, id)
  if not s or sub(s, 1, 1) ~= 'c' then return true end
  count('completed_bytes', -ENTRY - #record - #s)
  call('HDEL', jobs, id)
  call('HDEL', state, id)
  call('ZREM', completed, id)
  return false
end

-- The request of the job that has this id; nil if there is none.
local function request_of(push, id, salted, record)
  if push.accepted[salted] then return sub(push.accepted[salted], 6, 9) end
  if record and not push.removed[salted] then
    if is_kept(id, record) then return sub(record, 6, 9) end
    push.removed[salted] = true
  end
  local batch, position = batch_of(id)
  local blob = batch and blob_of(batch)
  return blob and sub(record_in(blob, position), 6, 9) or nil
end

-- `kind`: 1 held until claimed, 2 until finished, 3 until a time. `at`: where the record continues.
local function hold(push, key, id, kind, record, at)
  push.held[key .. salt] = id
  if kind < 3 then return add(push.unique, key, (kind == 1 and 'c' or 'f') .. id) end
  local last = now_up + unpack_bytes('>I6', record, at)
  add(push.elapsed, key, 'e' .. string.format('%016.0f', last) .. id)
  add(push.untils, decimal(last), key)
end

-- Accepts or refuses one job. Returns nil, or why it is refused and the holder of its key.
local function push_single(push, id, record, delay, found)
  local request = request_of(push, id, id .. salt, found)
  if id == push.own or request and request ~= sub(record, 6, 9) then return 'duplicate', '' end
  if request then return nil end
  local flags, priority = byte(record, 2, 3)
  local key, rest = unique_of(record)
  local holder = key and (push.held[key .. salt] or holder_of(key))
  -- A hold that lasts for a time outlives the job.
  local is_free = not holder
    or holder == push.settled and sub(call('HGET', unique, key) or '', 1, 1) ~= 'e'
  if not is_free then return 'held', holder end
  if key then hold(push, key, id, flags % 4, record, rest) end
  if delay ~= '' then
    add(push.dues, decimal(now_up + delay), priority .. id)
  else
    table.insert(push.tails[priority], id)
  end
  push.accepted[id .. salt] = record
  push.ids[#push.ids + 1] = id
  add(push.records, id, record .. push_time)
end

-- Pushes the jobs from ARGV[first] on. Adds those that are refused to the reply. `own`: the job
-- that the same script settles; `releasing`: the same if that releases its key; or nil. Returns
-- whether waiting workers are to be notified.
local function push_singles(first, reply, own, releasing)
  local push = new_push()
  push.own, push.settled = own, releasing
  for from = first, #ARGV, 150 do
    local ids = {}
    for at = from, math.min(from + 147, #ARGV), 3 do ids[#ids + 1] = ARGV[at] end
    local found = call('HMGET', jobs, unpack(ids))
    for i, id in ipairs(ids) do
      local at = from + 3 * i - 3
      local why, holder = push_single(push, id, ARGV[at + 1], ARGV[at + 2], found[i])
      if why then
        add(reply, (at - first) / 3, why)
        reply[#reply + 1] = holder
      end
    end
  end
  -- First: a commit collects the writes, and this reads the keys that they take.
  if push.elapsed[1] then collect_unique(#push.elapsed / 2 + 32) end
  many('HDEL', state, push.ids)
  many('HSET', unique, push.unique)
  local is_news = enqueue(push.dues, push.tails)
  many('HSET', jobs, push.records)
  many('ZADD', unique_until, push.untils)
  many('HSET', unique, push.elapsed)
  count('alive', #push.ids)
  count('scheduled', #push.dues / 2)
  return is_news
end
