-- Keeps finished jobs within their bounds.
-- needs: ENTRY, many

-- How many bytes of completed jobs a full server keeps, and after how many more that is checked.
local STEP = 65536

-- Whether the server has used 85 % of its memory: then draining must free space.
local function is_critical()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then return false end
  local used, limit = info:match('used_memory:(%d+)'), info:match('maxmemory:(%d+)')
  return used and limit and tonumber(limit) > 0 and used * 100 >= limit * 85
end

-- Removes the oldest jobs of an index while it exceeds a bound. `n` jobs of `added` bytes were
-- added. `over`: up to which time they are removed anyway.
local function keep(place, index, n, added, over, most, most_bytes)
  local status, field, read = sub(place, 1, 1), place .. '_bytes', n + 32
  local size, total = call('ZCARD', index), tonumber(call('HGET', meta, field) or 0)
  -- An interrupted script may have left the sum wrong.
  if size == 0 and total ~= 0 then call('HSET', meta, field, '0') end
  if status == 'c' and most_bytes > STEP and total % STEP < added and is_critical() then
    most_bytes, read = STEP / 2, 2 * n + 256
  end
  local function is_beyond(score)
    return score and (tonumber(score) <= over or size > most or total > most_bytes)
  end
  if not is_beyond(first_score(index)) then return end
  local oldest, gone, confirmed = call('ZRANGE', index, 0, read - 1, 'WITHSCORES'), {}, {}
  for i = 1, #oldest, 2 do
    if not is_beyond(oldest[i + 1]) then break end
    local id = oldest[i]
    local s = call('HGET', state, id)
    gone[#gone + 1], size = id, size - 1
    -- Otherwise the entry is stale.
    if s and sub(s, 1, 1) == status then
      confirmed[#confirmed + 1] = id
      total = total - ENTRY - #s - call('HSTRLEN', jobs, id)
    end
  end
  many('HDEL', jobs, confirmed)
  many('HDEL', state, confirmed)
  many('ZREM', index, gone)
  call('HSET', meta, field, size > 0 and decimal(math.max(total, 0)) or '0')
end

-- `bounds`: five numbers of 6 bytes: dead for (ms), dead count and bytes, completed count and
-- bytes. `n` jobs were added, `bytes` of them in all to the completed ones.
local function keep_finished(bounds, n, bytes)
  local lasting, most_dead, dead_bytes, most, most_bytes = unpack_bytes('>I6I6I6I6I6', bounds)
  keep('dead', dead, n, 0, now - lasting, most_dead, dead_bytes)
  keep('completed', completed, n, bytes, now, most, most_bytes)
end
