-- The short way of a settlement: jobs that are just complete, all held, none with a unique key; either all in parcels, with ids that
-- have no families, or none.
if is_plain and is_lone ~= false then
  local inside, sub = is_lone and {} or call('HMGET', KEYS[17], unpack(ids)), string.sub
  if inside[1] and inside[1] ~= '' then
    local leases, counts, ref, lease = {}, {}, nil, nil
    for i = 1, #ids do
      if inside[i] ~= ref or lease_of[i] ~= lease then
        ref, lease = inside[i], lease_of[i]
        leases[ref] = leases[ref] or ref and call('HGET', KEYS[16], ref) or ''
        is_plain = is_plain and sub(leases[ref], 1, 16) == sub(lease, 2, 17)
      end
      counts[ref] = (counts[ref] or 0) + 1
    end
    if is_plain then
      local left_inside, none = tonumber(call('HGET', KEYS[17], '\0')) - #ids, {}
      for i, id in ipairs(ids) do none[2 * i - 1], none[2 * i] = id, '' end
      if left_inside <= 0 then
        call('DEL', KEYS[17])
      else
        call('HSET', KEYS[17], '\0', left_inside, unpack(none))
        call('HDEL', KEYS[17], unpack(ids))
      end
      for held, settled in pairs(counts) do
        local left = struct.unpack('>I2', leases[held], 17) - settled
        if left > 0 then
          call('HSET', KEYS[16], held, sub(leases[held], 1, 16) .. struct.pack('>I2', left) .. sub(leases[held], 19))
        else
          call('HDEL', KEYS[15], held)
          call('HDEL', KEYS[16], held)
          call('ZREM', KEYS[8], held)
        end
      end
      return { 'settled' }
    end
  else
    for i, s in ipairs(call('HMGET', KEYS[2], unpack(ids))) do
      is_plain = is_plain and (not inside[i] or inside[i] == '') and s and sub(s, 1, 17) == sub(lease_of[i], 1, 17) and string.byte(s, 27) % 4 < 2
    end
    if is_plain then
      call('HDEL', KEYS[1], unpack(ids))
      call('HDEL', KEYS[2], unpack(ids))
      call('ZREM', KEYS[8], unpack(ids))
      return { 'settled' }
    end
  end
end
