-- Fast path of a push: a waiting worker is handed the only job, if no other one is ready.
-- needs: add, add_batches, call, count, decimal, has_news, is_one, jobs, last_fence, leased
-- needs: messages, meta, micros, next_waiter, notify, now_up, pack, publish, push_time, ready
-- needs: running, state, sub, unpack_bytes, waiters

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
  messages[#messages + 1] = { waiter.publish, waiter.channel, waiter.token .. 'h' .. message }
  call('HSET', waiters, waiter.token, pack('>I6I2I3I6B', waiter.ends, reserve, bytes,
    waiter.lasting, #waiter.channel) .. waiter.channel .. waiter.worker)
end

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
