-- Hands ready jobs over to waiting workers.
-- needs: add, call, messages, meta, micros, new_claim, next_waiter, notify, now_up, pack, take
-- needs: trim_lists, waiters

-- A waiter is handed no more jobs if fewer bytes are left of its registration.
local LEAST = 4096

-- A claim as a message: now, fence, how long the leases last, the items and the states before.
local function message_of(waiter, claim)
  local parts = { pack('>I6', now_up), claim.fence,
    pack('>I6I2', waiter.lasting, #claim.items / 2) }
  for _, list in ipairs({ claim.items, claim.past }) do
    for _, value in ipairs(list) do
      value = tostring(value)
      add(parts, pack('>I4', #value), value)
    end
  end
  return table.concat(parts)
end

-- Leases ready jobs to a waiter. Returns whether it got some, and whether some may be left. As long
-- as the waiter has room, it stays registered (`h`, else `e`).
local function hand_to(waiter, fence)
  local ends = now_up + waiter.lasting
  local claim = new_claim(fence, waiter.worker, ends, waiter.reserve, waiter.bytes)
  claim.is_strict = true
  local is_left = take(claim)
  trim_lists(claim)
  if claim.count == 0 then return false, is_left end
  local message = message_of(waiter, claim)
  local reserve, bytes = waiter.reserve - claim.count, waiter.bytes - #message
  if reserve == 0 or bytes < LEAST then
    notify(waiter, 'e' .. message)
  else
    messages[#messages + 1] = { waiter.channel, waiter.token .. 'h' .. message }
    call('HSET', waiters, waiter.token, pack('>I6I2I3I6B', waiter.ends, reserve, bytes,
      waiter.lasting, #waiter.channel) .. waiter.channel .. waiter.worker)
  end
  return true, is_left
end

-- Leases ready jobs to waiters, or notifies them, as long as there are both.
local function hand_over()
  local paused, last_fence = unpack(call('HMGET', meta, 'paused', 'fence'))
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
