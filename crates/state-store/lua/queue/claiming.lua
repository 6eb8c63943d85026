-- Answers claims.
-- needs: add, call, pack, publish, register, time_until, wake

-- Remembers what a claim has leased. `items`: ids and records, or positions of batches and records.
local function remember(claim, items, lasting)
  local parts = { claim.fence, pack('>I6', claim.ends) }
  for i = 1, #items, 2 do add(parts, pack('>I2', #items[i]), items[i]) end
  call('SET', KEYS[15], table.concat(parts), 'PX', lasting)
end

-- `is_left`: whether there may be more ready jobs. The first times may be nil.
local function answer_claim(claim, is_left, first_due, first_end)
  if claim.count > 0 then
    first_end = math.min(first_end or math.huge, claim.ends)
    remember(claim, claim.items, ARGV[5])
  end
  local wait = time_until(first_due, first_end)
  is_left = is_left or wait == 0
  if is_left then wake() end
  if claim.is_again or is_left and claim.count < claim.most then
    wait = 0
  elseif claim.count < claim.most then
    register(claim.most - claim.count)
  end
  local reply = { 'claimed', claim.ends - ARGV[5], claim.fence, wait, #claim.items / 2 }
  for i = 1, #claim.items do reply[i + 5] = claim.items[i] end
  for i = 1, #claim.past do reply[#reply + 1] = claim.past[i] end
  publish()
  return reply
end
