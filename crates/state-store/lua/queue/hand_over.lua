-- Hands ready jobs over to waiting workers.
-- needs: hand, messages, new_claim, next_fence, next_waiter, notify, take_all, trim_lists

-- The jobs of a claim, as a message has them.
local function values_of(claim)
  local parts = { pack('>I2I2', #claim.items / 2, #claim.past / 2) }
  for _, list in ipairs({ claim.items, claim.past }) do
    for _, value in ipairs(list) do
      value = tostring(value)
      add(parts, pack('>I4', #value), value)
    end
  end
  return table.concat(parts)
end

-- Leases ready jobs to waiters, as long as there are both, or notifies one. `fence`: the last one.
local function hand_over(fence)
  local is_left = not paused
  while is_left do
    local waiter = next_waiter()
    if not waiter then return end
    fence = next_fence(fence)
    local ends = now_up + waiter.lasting
    local claim = new_claim(fence, waiter.worker, ends, waiter.reserve, waiter.bytes)
    claim.is_strict = true
    if waiter.reserve > 0 then is_left = take_all(claim) end
    trim_lists(claim)
    if claim.count == 0 then return notify(waiter) end
    messages[#messages + 1] = hand(waiter, fence, claim.count, values_of(claim))
  end
end
