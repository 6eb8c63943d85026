-- Fast path of a push: a waiting worker is handed the only job, if no other one is ready.
-- needs: add, add_batches, byte, call, count, has_news, is_one, jobs, last_fence, leased, messages
-- needs: meta, micros, n_alive, n_leased, n_scheduled, notify, now, now_up, one_text, one_token
-- needs: pack, push_time, ready, reply, running, state, sub, unpack_bytes, waiters

-- A waiter is handed no more jobs if fewer bytes are left of its registration.
local LEAST = 4096

-- Hands a claim over: now, fence, how long the leases last, the items and the states before. As
-- long as the waiter has room, it stays registered (`h`, else `e`).
local function hand(waiter, claim)
  local lasting_and_count = pack('>I6I2', waiter.lasting, #claim.items / 2)
  local parts = { pack('>I6', now_up), claim.fence, lasting_and_count }
  for _, list in ipairs({ claim.items, claim.past }) do
    for _, value in ipairs(list) do
      value = tostring(value)
      add(parts, pack('>I4', #value), value)
    end
  end
  local message = table.concat(parts)
  local reserve, bytes = waiter.reserve - claim.count, waiter.bytes - #message
  if reserve == 0 or bytes < LEAST then return notify(waiter, 'e' .. message) end
  messages[#messages + 1] = { waiter.send, waiter.channel, waiter.token .. 'h' .. message }
  call('HSET', waiters, waiter.token, pack('>I6I2I3', waiter.ends, reserve, bytes) .. waiter.rest)
end

if is_one then
  local n, delay = unpack_bytes('>BI6', ARGV[5], 2)
  local ends, reserve, bytes, lasting, size = unpack_bytes('>I6I2I3I6B', one_text)
  local n_ready = (n_alive or 0) - (n_scheduled or 0) - (n_leased or 0)
  if n == 1 and delay == 0 and n_ready <= 0 and ends > now and reserve > 0
    and #ARGV[7] + LEAST <= bytes then
    local id, record, worker = ARGV[6], ARGV[7] .. push_time, sub(one_text, 19 + size)
    last_fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))
    call('HSET', meta, 'fence', last_fence, 'alive', (n_alive or 0) + 1,
      'running', (n_leased or 0) + 1)
    call('ZADD', leased, now_up + lasting, id)
    call('HSET', state, id, running(last_fence, 1, sub(record, 3, 9), 0, worker))
    call('HSET', jobs, id, record)
    local message = pack('>I6', now_up) .. last_fence .. pack('>I6I2I4', lasting, 1, #id) .. id
      .. pack('>I4', #record) .. record
    reserve, bytes = reserve - 1, bytes - #message
    local stays = reserve > 0 and bytes >= LEAST
    local left = stays and pack('>I6I2I3', ends, reserve, bytes) .. sub(one_text, 12)
    if stays then call('HSET', waiters, one_token, left) else call('HDEL', waiters, one_token) end
    call('SET', KEYS[15], '\145\166pushed', 'PX', ARGV[3])
    local channel, kind = sub(one_text, 19, 18 + size), stays and 'h' or 'e'
    local command = string.find(channel, '{', 1, true) and 'SPUBLISH' or 'PUBLISH'
    if redis.pcall(command, channel, one_token .. kind .. message) ~= 0 then return reply end
    -- The worker no longer listens: the job is ready, and another worker may be waiting.
    call('HSET', waiters, one_token, one_text)
    call('RPUSH', ready(byte(ARGV[5]) % 4), id)
    call('HDEL', state, id)
    call('ZREM', leased, id)
    count('running', -1)
    has_news = true
  end
  has_news = has_news or add_batches()
end
