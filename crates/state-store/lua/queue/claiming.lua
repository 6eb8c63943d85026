-- Answers claims.
-- needs: add, call, now, pack, publish, sub, unpack_bytes, waiters, wake

-- Registers the worker as waiting for 10 s, for up to `room` jobs of about 60,000 bytes in all.
local function register(room)
  if ARGV[8] == '' then return end
  local reserve, channel = unpack_bytes('>I2', ARGV[8], 9), sub(ARGV[8], 11)
  call('HSET', waiters, sub(ARGV[8], 1, 8),
    pack('>I6I2I3I6B', now + 10000, math.min(reserve, room), 60000, ARGV[5], #channel)
      .. channel .. ARGV[6])
  call('PEXPIRE', waiters, 20000)
end

-- Remembers what a claim has leased. `items`: ids and records, or positions of batches and records.
local function remember(claim, items, lasting)
  local parts = { claim.fence, pack('>I6', claim.ends) }
  for i = 1, #items, 2 do add(parts, pack('>I2', #items[i]), items[i]) end
  call('SET', KEYS[15], table.concat(parts), 'PX', lasting)
end

-- `is_left`: whether ready jobs may be left. `next_due` and `next_end`: the first times, or nil.
local function answer_claim(claim, is_left, next_due, next_end)
  if claim.count > 0 then
    next_end = math.min(next_end or math.huge, claim.ends)
    remember(claim, claim.items, ARGV[5])
  end
  local next_one, wait = math.min(next_due or math.huge, next_end or math.huge), -1
  if next_one < math.huge then wait = math.max(0, next_one - now) end
  is_left = is_left or next_one <= now
  if is_left then wake() end
  if claim.returned or is_left and claim.count < claim.most then
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
