-- Hands ready jobs over to waiting workers.
-- needs: hand, last_fence, micros, new_claim, next_waiter, notify, now_up, paused, take_all
-- needs: trim_lists

-- Leases ready jobs to a waiter. Returns whether it got some, and whether some may be left.
local function hand_to(waiter, fence)
  local ends = now_up + waiter.lasting
  local claim = new_claim(fence, waiter.worker, ends, waiter.reserve, waiter.bytes)
  claim.is_strict = true
  local is_left = take_all(claim)
  trim_lists(claim)
  if claim.count > 0 then hand(waiter, claim) end
  return claim.count > 0, is_left
end

-- Leases ready jobs to waiters, or notifies them, as long as there are both.
local function hand_over()
  local fence, is_left, is_handed = math.max(micros, (last_fence or -1) + 1), not paused, nil
  while is_left do
    local waiter = next_waiter()
    if not waiter then return end
    if waiter.reserve > 0 then
      is_handed, is_left = hand_to(waiter, string.format('%016.0f', fence))
      fence = fence + 1
    end
    if not is_handed then return notify(waiter, 'w') end
    is_handed = nil
  end
end
