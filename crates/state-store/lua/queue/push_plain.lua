-- The short way of a push: jobs of one priority with different ids, without delay and unique key, none of which is known.
if ARGV[3] ~= '' then
  local n, is_new = tonumber(ARGV[2]), true
  for first = 4, n + 3, 50 do
    for _, known in ipairs(call('HMGET', KEYS[1], unpack(ARGV, first, math.min(first + 49, n + 3)))) do
      if known then is_new = false end
    end
    if not is_new then break end
  end
  if is_new then
    local pushed_at, records = struct.pack('>I6', now), {}
    for i = 1, n do records[2 * i - 1], records[2 * i] = ARGV[3 + i], ARGV[3 + n + i] .. pushed_at end
    call('HDEL', KEYS[2], unpack(ARGV, 4, n + 3))
    call('RPUSH', KEYS[3 + ARGV[3]], unpack(ARGV, 4, n + 3))
    for first = 1, 2 * n, 1000 do
      call('HSET', KEYS[1], unpack(records, first, math.min(first + 999, 2 * n)))
    end
    if call('LLEN', KEYS[14]) == 0 then call('RPUSH', KEYS[14], '1') end
    return { 'pushed' }
  end
end
