-- Fast path of a claim from a queue without ready jobs: nothing is due, and no lease has expired.

-- Registers the worker as waiting for 10 s, for up to `room` jobs of about 60,000 bytes in all.
local function register(room)
  if ARGV[8] == '' then return end
  local reserve, _, n_earlier = unpack_bytes('>I2I2B', ARGV[8], 9)
  local channel = sub(ARGV[8], 14 + 8 * n_earlier)
  call('HSET', waiters, sub(ARGV[8], 1, 8), pack('>I6I2I3I6Bc0', now + 10000,
    math.min(reserve, room), 60000, ARGV[5], #channel, channel) .. ARGV[6])
  call('PEXPIRE', waiters, 20000)
end

-- Ends the worker's earlier registrations. Returns whether hand-overs that it has not received have
-- used them: a message that follows these ends each for the worker, too, if it can receive it.
local function has_crossed()
  local before, n_earlier = unpack_bytes('>I2B', ARGV[8], 11)
  if n_earlier == 0 then return false end
  local left, tokens, channel = 0, {}, sub(ARGV[8], 14 + 8 * n_earlier)
  for i = 1, n_earlier do tokens[i] = sub(ARGV[8], 6 + 8 * i, 13 + 8 * i) end
  for _, text in ipairs(before > 0 and call('HMGET', waiters, unpack(tokens)) or {}) do
    if text then left = left + unpack_bytes('>I2', text, 7) end
  end
  call('HDEL', waiters, unpack(tokens))
  if left >= before then return false end
  local heard, publish = 0, string.find(channel, '{', 1, true) and 'SPUBLISH' or 'PUBLISH'
  for _, token in ipairs(tokens) do heard = redis.pcall(publish, channel, token .. 'w') end
  return (tonumber(heard) or 0) > 0
end

-- The ms until the first lease ends or something becomes due; -1: nothing will.
local function time_until(first, second)
  local next_one = math.min(first or math.huge, second or math.huge)
  return next_one < math.huge and math.max(0, next_one - now) or -1
end

-- A repetition gets what its first copy has leased.
local was_executed = is_repeat and call('EXISTS', KEYS[15]) == 1
if ARGV[8] ~= '' and not was_executed and has_crossed() then return { 'crossed' } end
if paused then
  register(tonumber(ARGV[4]))
  return { 'paused' }
end
local next_due, next_end = first_score(due), first_score(leased)
local is_plain = not (interrupted or is_repeat)
  and (next_due or math.huge) > now and (next_end or math.huge) > now
local was_tidied = (tonumber(tidied) or 0) + 1000 > now
if is_plain and was_tidied and call('EXISTS', ready(0), ready(1), ready(2), ready(3)) == 0 then
  register(tonumber(ARGV[4]))
  return { 'claimed', now_up, 0, time_until(next_due, next_end), 0 }
end
