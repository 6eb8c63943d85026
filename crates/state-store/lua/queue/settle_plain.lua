-- The short way of a settlement: jobs that are just complete, all held, none with a unique key; either all in parcels, or none.
local n = tonumber(ARGV[3])
if #ARGV == 3 + 2 * n then
  local sub, lease = string.sub, ''
  local is_plain = (tonumber(call('ZRANGE', KEYS[8], 0, 0, 'WITHSCORES')[2]) or 0) > now
  local inside, leases, counts, ref, count = call('HMGET', KEYS[17], unpack(ARGV, 4, n + 3)), {}, {}, nil, 0
  local is_parcel = inside[1]
  for i = 1, is_plain and is_parcel and n or 0 do
    if ARGV[3 + n + i] ~= '' then lease = sub(ARGV[3 + n + i], 2, 17) end
    if not inside[i] then
      is_plain = false
      break
    end
    local its = sub(inside[i], 1, 7)
    if its ~= ref then
      ref = its
      leases[ref] = leases[ref] or call('HGET', KEYS[16], ref) or ''
      counts[ref] = counts[ref] or 0
    end
    counts[ref] = counts[ref] + 1
    if sub(leases[ref], 1, 16) ~= lease then is_plain = false end
  end
  if is_plain and is_parcel then
    call('HDEL', KEYS[17], unpack(ARGV, 4, n + 3))
    for its, settled in pairs(counts) do
      local held = leases[its]
      local left = struct.unpack('>I2', held, 17) - settled
      if left > 0 then
        call('HSET', KEYS[16], its, sub(held, 1, 16) .. struct.pack('>I2', left) .. sub(held, 19))
      else
        call('HDEL', KEYS[15], its)
        call('HDEL', KEYS[16], its)
        call('ZREM', KEYS[8], its)
      end
    end
    return { 'settled' }
  end
  local states = is_plain and not is_parcel and call('HMGET', KEYS[2], unpack(ARGV, 4, n + 3)) or {}
  for i = 1, #states do
    local s = states[i]
    if ARGV[3 + n + i] ~= '' then lease = sub(ARGV[3 + n + i], 1, 17) end
    if not s or inside[i] or sub(s, 1, 17) ~= lease or string.byte(s, 27) % 4 >= 2 then is_plain = false end
  end
  if is_plain and #states == n then
    call('HDEL', KEYS[1], unpack(ARGV, 4, n + 3))
    call('HDEL', KEYS[2], unpack(ARGV, 4, n + 3))
    call('ZREM', KEYS[8], unpack(ARGV, 4, n + 3))
    return { 'settled' }
  end
end
