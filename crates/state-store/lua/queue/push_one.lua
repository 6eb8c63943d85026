-- Fast path of a push: hands the only job over to a waiting worker, if no other one is ready.
-- needs: LEAST, count, hand, is_one, next_fence, push_time, read_waiter, registration, running
-- needs: waiter_token
local is_stored, fence_before = not is_one, last_fence
if is_one then
  local kind, n, delay = unpack_bytes('>BBI6', ARGV[5])
  local waiter, id, record = read_waiter(waiter_token, registration), ARGV[6], ARGV[7] .. push_time
  -- Not by the counters: an interrupted script may have left them wrong.
  if n == 1 and delay == 0 and waiter.ends > now and waiter.reserve > 0
    and #record + LEAST <= waiter.bytes
    and call('EXISTS', ready(0), ready(1), ready(2), ready(3)) == 0 then
    local fence = next_fence(last_fence)
    call('HSET', meta, 'fence', fence, 'alive', (n_alive or 0) + 1, 'running', (n_running or 0) + 1)
    call('ZADD', leased, now_up + waiter.lasting, id)
    call('HSET', state, id, running(fence, 1, sub(record, 3, 9), 0, waiter.worker))
    call('HSET', jobs, id, record)
    local message = hand(waiter, fence, 1, pack('>I2I2I4c0I4c0', 1, 0, #id, id, #record, record))
    call('SET', KEYS[15], '\145\166pushed', 'PX', ARGV[3])
    local n_listening = redis.pcall(unpack(message))
    if type(n_listening) == 'number' and n_listening > 0 then return 'pushed' end
    -- Nobody listens, or the right to publish is missing: the job is ready, and another worker may
    -- be waiting. A script that is interrupted here leaves a job that is ready when its lease ends.
    call('HSET', waiters, waiter_token, registration)
    call('PEXPIRE', waiters, 20000)
    call('RPUSH', ready(kind % 4), id)
    call('HDEL', state, id)
    call('ZREM', leased, id)
    count('running', -1)
    is_stored, fence_before = true, fence
  end
end
