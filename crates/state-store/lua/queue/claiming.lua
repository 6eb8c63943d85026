-- Answers claims.
-- needs: publish, register, time_until, wake

-- Remembers what the claim has leased. `is_left`: whether there may be more ready jobs. The times
-- when something becomes due and when a lease ends may be nil.
local function answer_claim(claim, is_left, first_due, first_end)
  local items, memory = claim.items, { claim.fence, pack('>I6', claim.ends) }
  local reply = { 'claimed', claim.ends - ARGV[5], claim.fence, 0, #items / 2 }
  for i = 1, #items, 2 do
    add(memory, pack('>I2', #items[i]), items[i])
    add(reply, items[i], items[i + 1])
  end
  for i = 1, #claim.past do reply[#reply + 1] = claim.past[i] end
  if claim.count > 0 then
    first_end = math.min(first_end or math.huge, claim.ends)
    call('SET', KEYS[15], table.concat(memory), 'PX', ARGV[5])
  end
  local wait = time_until(first_due, first_end)
  is_left = is_left or wait == 0
  if is_left then wake() end
  if claim.is_again or is_left and claim.count < claim.most then
    wait = 0
  elseif claim.count < claim.most then
    register(claim.most - claim.count)
  end
  reply[4] = wait
  publish()
  return reply
end
