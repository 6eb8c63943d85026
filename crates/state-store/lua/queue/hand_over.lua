-- Hands ready jobs over to waiting workers.
-- needs: LEAST, add, call, last_fence, messages, micros, new_claim, next_waiter, notify, now_up
-- needs: pack, paused, take_all, trim_lists, waiters

-- Hands a claim over. As long as the waiter has room, it stays registered (`h`, else `e`).
local function hand(waiter, claim)
  local numbers = pack('>I6I2I2', waiter.lasting, #claim.items / 2, #claim.past / 2)
  local parts = { pack('>I6', now_up), claim.fence, numbers }
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

-- Leases ready jobs to waiters, as long as there are both, or notifies one.
local function hand_over()
  local fence, is_left = math.max(micros, (last_fence or -1) + 1), not paused
  while is_left do
    local waiter = next_waiter()
    if not waiter then return end
    local claim = new_claim(string.format('%016.0f', fence), waiter.worker,
      now_up + waiter.lasting, waiter.reserve, waiter.bytes)
    claim.is_strict = true
    if waiter.reserve > 0 then is_left = take_all(claim) end
    trim_lists(claim)
    if claim.count == 0 then return notify(waiter, 'w') end
    hand(waiter, claim)
    fence = fence + 1
  end
end
