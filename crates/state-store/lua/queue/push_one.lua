-- Fast path of a push: a waiting worker is handed the only job, if no other one is ready.
-- needs: add_batches, byte, call, count, has_news, is_one, jobs, last_fence, leased, meta, micros
-- needs: n_alive, n_leased, now, now_up, one_text, one_token, pack, push_time, ready, reply
-- needs: running, state, sub, unpack_bytes, waiters

-- A waiter is handed no more jobs if fewer bytes are left of its registration.
local LEAST = 4096

if is_one then
  local n, delay = unpack_bytes('>BI6', ARGV[5], 2)
  local ends, reserve, bytes, lasting, size = unpack_bytes('>I6I2I3I6B', one_text)
  -- Not by the counters: an interrupted script may have left them wrong.
  if n == 1 and delay == 0 and ends > now and reserve > 0 and #ARGV[7] + LEAST <= bytes
    and call('EXISTS', ready(0), ready(1), ready(2), ready(3)) == 0 then
    local id, record, worker = ARGV[6], ARGV[7] .. push_time, sub(one_text, 19 + size)
    last_fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))
    call('HSET', meta, 'fence', last_fence, 'alive', (n_alive or 0) + 1,
      'running', (n_leased or 0) + 1)
    call('ZADD', leased, now_up + lasting, id)
    call('HSET', state, id, running(last_fence, 1, sub(record, 3, 9), 0, worker))
    call('HSET', jobs, id, record)
    local message = pack('>I6', now_up) .. last_fence .. pack('>I6I2I2I4', lasting, 1, 0, #id) .. id
      .. pack('>I4', #record) .. record
    reserve, bytes = reserve - 1, bytes - #message
    local stays = reserve > 0 and bytes >= LEAST
    local left = stays and pack('>I6I2I3', ends, reserve, bytes) .. sub(one_text, 12)
    if stays then call('HSET', waiters, one_token, left) else call('HDEL', waiters, one_token) end
    call('SET', KEYS[15], '\145\166pushed', 'PX', ARGV[3])
    local channel, kind = sub(one_text, 19, 18 + size), stays and 'h' or 'e'
    local command = string.find(channel, '{', 1, true) and 'SPUBLISH' or 'PUBLISH'
    local n_listening = redis.pcall(command, channel, one_token .. kind .. message)
    if type(n_listening) == 'number' and n_listening > 0 then return reply end
    -- Nobody listens, or the right to publish is missing: the job is ready, and another worker may
    -- be waiting. A script that is interrupted here leaves a job that is ready when its lease ends.
    call('HSET', waiters, one_token, one_text)
    call('RPUSH', ready(byte(ARGV[5]) % 4), id)
    call('HDEL', state, id)
    call('ZREM', leased, id)
    count('running', -1)
    has_news = true
  end
  has_news = has_news or add_batches()
end
