-- The short way of a push: jobs of one priority with different ids, without delay, deadline and unique key, none of which is
-- known, nor may be on a shelf. One is stored alone, several in parcels.
if ARGV[3] ~= '' then
  local n, ready, pushed_at = tonumber(ARGV[2]), KEYS[3 + ARGV[3]], struct.pack('>I6', now)
  local has_shelves = call('HEXISTS', KEYS[13], 'shelves') == 1
  if n == 1 then
    local id = ARGV[4]
    if call('HEXISTS', KEYS[1], id) == 0 and call('HEXISTS', KEYS[17], id) == 0
      and not (has_shelves and indexed(ARGV, 4, 4)[id]) then
      call('HDEL', KEYS[2], id)
      call('RPUSH', ready, id)
      call('HSET', KEYS[1], id, ARGV[5] .. pushed_at)
      if call('LLEN', KEYS[14]) == 0 then call('RPUSH', KEYS[14], '1') end
      return { 'pushed' }
    end
  else
    local ids, is_new, sub, ends = {}, true, string.sub, {}
    for parcel = 4, #ARGV do
      local body = ARGV[parcel]
      local count, size = struct.unpack('>I2I2', body)
      for at = 5, 4 + count * size, size do ids[#ids + 1] = sub(body, at, at + size - 1) end
      ends[parcel - 3] = #ids
    end
    local has_alone = call('EXISTS', KEYS[1], KEYS[2]) > 0
    for first = 1, n, 500 do
      local last = math.min(first + 499, n)
      local alone = has_alone and call('HMGET', KEYS[1], unpack(ids, first, last)) or {}
      for _, known in ipairs(alone) do is_new = is_new and not known end
      for _, known in ipairs(call('HMGET', KEYS[17], unpack(ids, first, last))) do is_new = is_new and not known end
      is_new = is_new and not (has_shelves and next(indexed(ids, first, last)))
    end
    if is_new then
      local number, refs, inside, job = call('HINCRBY', KEYS[13], 'parcel', #ends) - #ends, {}, {}, 0
      for parcel, last in ipairs(ends) do
        local ref = '\0' .. pushed_at .. struct.pack('>I4B', (number + parcel) % 4294967296, last - job)
        refs[parcel] = ref
        while job < last do
          inside[2 * job + 1], inside[2 * job + 2] = ids[job + 1], ref
          job = job + 1
        end
      end
      for first = 1, has_alone and n or 0, 1000 do
        call('HDEL', KEYS[2], unpack(ids, first, math.min(first + 999, n)))
      end
      call('RPUSH', ready, unpack(refs))
      for first = 1, 2 * n, 1000 do
        call('HSET', KEYS[17], unpack(inside, first, math.min(first + 999, 2 * n)))
      end
      for parcel, ref in ipairs(refs) do call('HSET', KEYS[15], ref, ARGV[3 + parcel]) end
      if call('LLEN', KEYS[14]) == 0 then call('RPUSH', KEYS[14], '1') end
      return { 'pushed' }
    end
  end
end
