-- The short way of a push: jobs of one priority with different ids, without delay, deadline and unique key, none of which is
-- known. One is stored alone, several in parcels.
if ARGV[3] ~= '' then
  local n, ready, is_new = tonumber(ARGV[2]), KEYS[3 + ARGV[3]], true
  for first = 4, n + 3, 500 do
    local last = math.min(first + 499, n + 3)
    for _, known in ipairs(call('HMGET', KEYS[1], unpack(ARGV, first, last))) do is_new = is_new and not known end
    for _, known in ipairs(call('HMGET', KEYS[17], unpack(ARGV, first, last))) do is_new = is_new and not known end
    if not is_new then break end
  end
  if is_new then
    local pushed_at = struct.pack('>I6', now)
    if n == 1 then
      call('HDEL', KEYS[2], ARGV[4])
      call('RPUSH', ready, ARGV[4])
      call('HSET', KEYS[1], ARGV[4], ARGV[5] .. pushed_at)
    else
      local last, refs, bodies, inside = call('HINCRBY', KEYS[13], 'parcel', #ARGV - n - 4), {}, {}, {}
      local requests, sub, job = ARGV[n + 4], string.sub, 0
      for at = n + 5, #ARGV do
        local body, ref = ARGV[at], '\0' .. struct.pack('>I6', last - #ARGV + at)
        refs[#refs + 1] = ref
        bodies[#bodies + 1] = pushed_at .. body
        for _ = 1, (struct.unpack('>I2', body)) do
          inside[2 * job + 1], inside[2 * job + 2] = ARGV[4 + job], ref .. sub(requests, 4 * job + 1, 4 * job + 4)
          job = job + 1
        end
      end
      call('RPUSH', ready, unpack(refs))
      for first = 1, 2 * n, 1000 do
        call('HSET', KEYS[17], unpack(inside, first, math.min(first + 999, 2 * n)))
      end
      for at, ref in ipairs(refs) do call('HSET', KEYS[15], ref, bodies[at]) end
    end
    if call('LLEN', KEYS[14]) == 0 then call('RPUSH', KEYS[14], '1') end
    return { 'pushed' }
  end
end
