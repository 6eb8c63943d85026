-- Writes what moves.lua has collected, and keeps finished jobs within their bounds.
-- needs: ENTRY, call, completed, count, dead, decimal, due, first_score, jobs, leased, many
-- needs: meta, moved, now, ready, release, state, sub, unpack_bytes, wake, write_batches

-- How many bytes of completed jobs a full server keeps, and after how many more the check is repeated.
local STEP = 65536

-- Removes the oldest of a set while it exceeds a bound, at most `most`. An entry without a state in
-- this status is stale.
local function trim(set, status, field, over, most_jobs, bytes, most)
  local size, total = call('ZCARD', set), tonumber(call('HGET', meta, field) or 0)
  -- An interrupted script may have left the sum wrong.
  if size == 0 and total ~= 0 then call('HSET', meta, field, '0') end
  local function is_beyond(score)
    return score and (tonumber(score) <= over or size > most_jobs or total > bytes)
  end
  if not is_beyond(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]) then return end
  local oldest, gone, confirmed = call('ZRANGE', set, 0, most - 1, 'WITHSCORES'), {}, {}
  for i = 1, #oldest, 2 do
    if not is_beyond(oldest[i + 1]) then break end
    local id = oldest[i]
    local s = call('HGET', state, id)
    gone[#gone + 1] = id
    size = size - 1
    if s and sub(s, 1, 1) == status then
      confirmed[#confirmed + 1] = id
      total = total - ENTRY - #s - call('HSTRLEN', jobs, id)
    end
  end
  many('HDEL', jobs, confirmed)
  many('HDEL', state, confirmed)
  many('ZREM', set, gone)
  call('HSET', meta, field, size > 0 and decimal(math.max(total, 0)) or '0')
end

-- Whether the server has used 85 % of its memory: then draining must free space.
local function is_critical()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then return false end
  local used, limit = info:match('used_memory:(%d+)'), info:match('maxmemory:(%d+)')
  return used and limit and tonumber(limit) > 0 and used * 100 >= limit * 85
end

-- `total`: the bytes of the completed jobs, `weight` of them just added; nil if none were added.
-- `bounds`: five numbers of 6 bytes: dead for (ms), dead count and bytes, completed count and bytes.
local function trim_completed(bounds, added, total, weight)
  local most, bytes = unpack_bytes('>I6I6', bounds, 19)
  if total and bytes > STEP and math.floor(total / STEP) > math.floor((total - weight) / STEP)
    and is_critical() then
    return trim(completed, 'c', 'completed_bytes', now, most, STEP / 2, 2 * added + 256)
  end
  trim(completed, 'c', 'completed_bytes', now, most, bytes, added + 32)
end

local function trim_dead(bounds, added)
  local lasting, most, bytes = unpack_bytes('>I6I6I6', bounds)
  trim(dead, 'd', 'dead_bytes', now - lasting, most, bytes, added + 32)
end

-- Counts the bytes of jobs added to a set; `added` has scores and ids. Returns the bytes of the set
-- now, and those added.
local function weigh(field, added)
  local bytes = ENTRY * #added / 2
  for i = 2, #added, 2 do
    bytes = bytes + call('HSTRLEN', jobs, added[i]) + call('HSTRLEN', state, added[i])
  end
  return call('HINCRBY', meta, field, decimal(bytes)), bytes
end

-- Adding: index entry, state, then record or batch; removing: record, then the rest. `moving` names
-- the batches of which jobs become single ones: see `repair`.
local function flush(bounds)
  local is_news, before = false, #moved.due > 0 and first_score(due) or math.huge
  local moving = {}
  for id in pairs(moved.moving) do moving[#moving + 1] = id end
  if #moving > 0 then call('HSET', meta, 'moving', table.concat(moving)) end
  for i = 1, #moved.due, 2 do is_news = is_news or tonumber(moved.due[i]) < before end
  many('ZADD', due, moved.due)
  for priority = 0, 3 do
    is_news = is_news or #moved.tails[priority] + #moved.heads[priority] > 0
    many('RPUSH', ready(priority), moved.tails[priority])
    many('LPUSH', ready(priority), moved.heads[priority])
  end
  many('ZADD', dead, moved.dead)
  many('ZADD', completed, moved.completed)
  many('ZADD', leased, moved.leases)
  many('HSET', state, moved.states)
  many('HSET', jobs, moved.records)
  write_batches()
  if #moving > 0 then call('HDEL', meta, 'moving') end
  many('HDEL', jobs, moved.forgotten)
  many('HDEL', state, moved.forgotten)
  for i = 1, #moved.freed, 2 do release(moved.freed[i], moved.freed[i + 1]) end
  many('ZREM', leased, moved.left)
  many('ZREM', due, moved.never_due)
  if #moved.dead > 0 then
    weigh('dead_bytes', moved.dead)
    trim_dead(bounds, #moved.dead / 2)
  end
  if #moved.completed > 0 then
    trim_completed(bounds, #moved.completed / 2, weigh('completed_bytes', moved.completed))
  end
  count(moved.alive, moved.scheduled, moved.running)
  if is_news then wake() end
end
