-- The short way of a settlement: jobs that are just complete, all held, none with a unique key.
local n = tonumber(ARGV[3])
if #ARGV == 3 + 2 * n then
  local states = call('HMGET', KEYS[2], unpack(ARGV, 4, n + 3))
  local is_plain, lease = (tonumber(call('ZRANGE', KEYS[8], 0, 0, 'WITHSCORES')[2]) or 0) > now, ''
  for i = 1, n do
    local s = states[i]
    if ARGV[3 + n + i] ~= '' then lease = string.sub(ARGV[3 + n + i], 1, 17) end
    if not s or string.sub(s, 1, 17) ~= lease or string.byte(s, 27) % 4 >= 2 then is_plain = false end
  end
  if is_plain then
    call('HDEL', KEYS[1], unpack(ARGV, 4, n + 3))
    call('HDEL', KEYS[2], unpack(ARGV, 4, n + 3))
    call('ZREM', KEYS[8], unpack(ARGV, 4, n + 3))
    return { 'settled' }
  end
end
