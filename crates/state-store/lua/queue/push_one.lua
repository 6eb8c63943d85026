-- Fast path of a push: a waiting worker is handed the only job, if no other one is ready.
-- needs: LEAST, add_batches, call, count, decimal, hand, has_news, is_one, jobs, last_fence, leased
-- needs: meta, micros, next_waiter, now_up, publish, push_time, ready, running, state, sub
-- needs: unpack_bytes

-- Returns whether it was handed over.
local function hand_one()
  local n, delay = unpack_bytes('>BI6', ARGV[5], 2)
  local waiter = n == 1 and delay == 0 and next_waiter()
  if not waiter or waiter.reserve == 0 or #ARGV[7] + LEAST > waiter.bytes
    or call('EXISTS', ready(0), ready(1), ready(2), ready(3)) > 0 then return false end
  local id, record = ARGV[6], ARGV[7] .. push_time
  local fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))
  call('HSET', meta, 'fence', fence)
  call('ZADD', leased, decimal(now_up + waiter.lasting), id)
  call('HSET', state, id, running(fence, 1, sub(record, 3, 9), 0, waiter.worker))
  call('HSET', jobs, id, record)
  count('alive', 1)
  count('running', 1)
  hand(waiter, { fence = fence, count = 1, items = { id, record }, past = {} })
  return true
end

if is_one and hand_one() then
  call('SET', KEYS[15], '\145\166pushed', 'PX', ARGV[3])
  publish()
  return { 'pushed' }
end
has_news = has_news or is_one and add_batches()
