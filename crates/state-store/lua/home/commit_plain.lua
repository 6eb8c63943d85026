-- Fast path of a commit: a single job is just complete, no part is refused or may be a repetition,
-- and no worker waits for jobs. Otherwise nothing is written here.
-- needs: plain_parts, unique_of

-- Reads the jobs that are pushed. Adds their ids to `ids`; to `others` these and the batches that
-- might contain them; to `taken` their unique keys. `own`: the job that is complete, which releases
-- its key. Returns a function that writes them, and how many are delayed; nothing if the slow path
-- has to check them.
local function plain_jobs(own, ids, others, taken)
  local seen, holds, tails, dues, records = { [own] = true }, {}, {}, {}, {}
  for at = tonumber(ARGV[10]), #ARGV, 3 do
    local id, record, delay = unpack(ARGV, at, at + 2)
    local flags, priority = byte(record, 2, 3)
    local key = unique_of(record)
    if key then
      local entry = not taken[key] and call('HGET', unique, key)
      if taken[key] or flags % 4 == 3 or (entry and entry ~= 'f' .. own) then return nil end
      taken[key] = true
      add(holds, key, (flags % 4 == 1 and 'c' or 'f') .. id)
    end
    if seen[id] then return nil end
    seen[id], ids[#ids + 1], others[#others + 1] = true, id, id
    if byte(id) == 1 and math.floor(byte(id, 8) / 16) == 8 then
      others[#others + 1] = '\2' .. sub(id, 2, 16) .. char(byte(id, 17) - byte(id, 17) % 64)
    end
    if delay ~= '' then
      add(dues, decimal(now_up + delay), priority .. id)
    else
      tails[priority] = tails[priority] or {}
      table.insert(tails[priority], id)
    end
    add(records, id, record .. pack('>I6', now_up))
  end
  -- Key, index entry, record: see push_singles.lua.
  return function()
    if holds[1] then call('HSET', unique, unpack(holds)) end
    for priority, tail in pairs(tails) do call('RPUSH', ready(priority), unpack(tail)) end
    if dues[1] then call('ZADD', due, unpack(dues)) end
    if records[1] then call('HSET', jobs, unpack(records)) end
  end, #dues / 2
end

-- Returns the reply, or nothing.
local function commit_plain()
  local own = sub(ARGV[5], 17)
  local ids, others, taken, writes = { own }, { own }, {}, {}
  local reply, at = { 'committed', 'done', {} }, 11
  local write_jobs, n_delayed = plain_jobs(own, ids, others, taken)
  if not write_jobs or tonumber(call('ZSCORE', leased, own) or 0) <= now then return nil end
  local records, states = call('HMGET', jobs, unpack(ids)), call('HMGET', state, unpack(others))
  local s = states[1]
  if not records[1] or not s or sub(s, 1, 17) ~= 'r' .. sub(ARGV[5], 1, 16) then return nil end
  for i = 2, #others do
    if records[i] or states[i] then return nil end
  end
  if ids[2] and call('EXISTS', waiters) == 1 then return nil end
  for i = 1, #ARGV[9] do
    writes[i], reply[3 + i], at = plain_parts[sub(ARGV[9], i, i)](KEYS[15 + i], at)
    if not at then return nil end
  end

  write_jobs()
  for _, write in ipairs(writes) do write() end
  -- Last, and its removal of the record first: until then the job is delivered again.
  call('HDEL', jobs, own)
  call('HDEL', state, own)
  local key = unique_of(records[1])
  -- Not if another job holds the key, or if it lasts until a time.
  if key and not taken[key] and call('HGET', unique, key) == 'f' .. own then
    call('HDEL', unique, key)
  end
  call('ZREM', leased, own)
  call('HSET', meta, 'alive', (n_alive or 0) + #ids - 2, 'running', (n_running or 0) - 1)
  if n_delayed > 0 then call('HSET', meta, 'scheduled', (n_scheduled or 0) + n_delayed) end
  call('SET', KEYS[15], cmsgpack.pack({ ARGV[5], reply }), 'PX', ARGV[3])
  return reply
end

if not (is_repeat or interrupted) and ARGV[6] == 'complete' and ARGV[7] == '0' then
  local reply = commit_plain()
  if reply then return reply end
end
