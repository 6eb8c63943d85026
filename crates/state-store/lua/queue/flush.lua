-- Writes what moves.lua has collected, and keeps what is over within its bounds. ARGV[2]: five numbers of 6 bytes: dead for
-- (ms), dead count, dead bytes, completed count, completed bytes.

-- Forgets the oldest of a set while it is beyond a bound, at most `most`; what the state does not confirm only leaves.
local function trim(set, status, field, over, count, bytes, most)
  local size, total = call('ZCARD', set), tonumber(call('HGET', meta, field) or 0)
  local function is_beyond(score) return score and (tonumber(score) <= over or size > count or total > bytes) end
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

local function trim_dead(added)
  local lasting, count, bytes = unpack_bytes('>I6I6I6', ARGV[2])
  trim(dead, 'd', 'dead_bytes', now - lasting, count, bytes, added + 32)
end

-- How many bytes of completed jobs a full server keeps, and after how many more bytes the check is repeated.
local STEP = 65536

-- Whether the server has used 85 % of its memory: then draining must free space.
local function is_critical()
  local told = redis.pcall('INFO', 'memory')
  if type(told) ~= 'string' then return false end
  local used, limit = told:match('used_memory:(%d+)'), told:match('maxmemory:(%d+)')
  return used and limit and tonumber(limit) > 0 and used * 100 >= limit * 85
end

-- `total`: the bytes of the completed jobs, `weight` of them just added; nil if none were added.
local function trim_completed(added, total, weight)
  local count, bytes = unpack_bytes('>I6I6', ARGV[2], 19)
  if total and bytes > STEP and math.floor(total / STEP) > math.floor((total - weight) / STEP) and is_critical() then
    return trim(completed, 'c', 'completed_bytes', now, count, STEP / 2, 2 * added + 256)
  end
  trim(completed, 'c', 'completed_bytes', now, count, bytes, added + 32)
end

-- Counts the bytes of jobs added to a set; `added` has scores and ids. Returns the bytes of the set now, and those added.
local function weigh(field, added)
  local bytes = ENTRY * #added / 2
  for i = 2, #added, 2 do
    bytes = bytes + call('HSTRLEN', jobs, added[i]) + call('HSTRLEN', state, added[i])
  end
  return call('HINCRBY', meta, field, decimal(bytes)), bytes
end

local function flush()
  local is_news, before = false, #moved.due > 0 and first_score(due) or math.huge
  for i = 1, #moved.due, 2 do is_news = is_news or tonumber(moved.due[i]) < before end
  many('ZADD', due, moved.due)
  for priority = 0, 3 do
    is_news = is_news or #moved.tails[priority] + #moved.heads[priority] > 0
    many('RPUSH', ready(priority), moved.tails[priority])
    many('LPUSH', ready(priority), moved.heads[priority])
  end
  many('ZADD', dead, moved.dead)
  many('ZADD', completed, moved.completed)
  many('HSET', state, moved.states)
  many('HDEL', jobs, moved.forgotten)
  many('HDEL', state, moved.forgotten)
  for i = 1, #moved.freed, 2 do release(moved.freed[i], moved.freed[i + 1]) end
  many('ZREM', leased, moved.left)
  if #moved.dead > 0 then weigh('dead_bytes', moved.dead) trim_dead(#moved.dead / 2) end
  if #moved.completed > 0 then trim_completed(#moved.completed / 2, weigh('completed_bytes', moved.completed)) end
  moved = nil
  if is_news then news() end
end
