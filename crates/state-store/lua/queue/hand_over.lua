-- Hands ready jobs over to waiting workers.
-- needs: call, messages, meta, micros, new_claim, next_waiter, now_up, pack, take, trim_lists

-- The most bytes of the jobs in a message.
local MESSAGE = 60000

-- A claim as a message: `h`, now, fence, how long the leases last, the items and the states before.
local function message_of(waiter, claim)
  local parts = { waiter.token, 'h', pack('>I6', now_up), claim.fence, pack('>I6I2', waiter.lasting,
    #claim.items / 2) }
  for _, list in ipairs({ claim.items, claim.past }) do
    for _, value in ipairs(list) do
      value = tostring(value)
      parts[#parts + 1] = pack('>I4', #value)
      parts[#parts + 1] = value
    end
  end
  return table.concat(parts)
end

-- Leases ready jobs to waiters, or notifies them, as long as there are both.
local function hand_over()
  local paused, last_fence = unpack(call('HMGET', meta, 'paused', 'fence'))
  local fence, is_left = math.max(micros, (last_fence or -1) + 1), not paused
  while is_left do
    local waiter = next_waiter()
    if not waiter then return end
    local claim
    if waiter.reserve > 0 then
      claim = new_claim(string.format('%016.0f', fence), waiter.worker, now_up + waiter.lasting,
        waiter.reserve, MESSAGE)
      claim.is_strict = true
      is_left, fence = take(claim), fence + 1
      trim_lists(claim)
    end
    if claim and claim.count > 0 then
      messages[#messages + 1] = { waiter.channel, message_of(waiter, claim) }
    else
      messages[#messages + 1] = { waiter.channel, waiter.token .. 'w' }
      return
    end
  end
end
