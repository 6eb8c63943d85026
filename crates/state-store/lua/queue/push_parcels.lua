-- The short way of a push of several jobs of one priority with different ids, without delay, deadline and unique key, none of which
-- is known, nor may be on a shelf: they are stored in parcels.
if ARGV[3] ~= '' and ARGV[2] ~= '1' then
  local fields, lows, highs, parcel_at, ids, sub = {}, {}, {}, {}, {}, string.sub
  local has_alone, is_new = call('EXISTS', KEYS[1], KEYS[2]) > 0, true
  for at = 4, #ARGV, 2 do
    local parcel, runs = ARGV[at], ARGV[at + 1]
    local n, size = struct.unpack('>I2I2', parcel)
    for from = 5, (runs == '' or has_alone or has_shelves) and 4 + n * size or 0, size do
      ids[#ids + 1] = sub(parcel, from, from + size - 1)
      if runs == '' then fields[#fields + 1], parcel_at[#fields + 1] = ids[#ids], at end
    end
    for from = 1, #runs, 26 do
      local i = #fields + 1
      fields[i], parcel_at[i] = sub(runs, from, from + 16), at
      lows[i], highs[i] = struct.unpack('>I4I4', runs, from + 17)
    end
  end
  for first = 1, (has_alone or has_shelves) and #ids or 0, 500 do
    local last = math.min(first + 499, #ids)
    for _, known in ipairs(call('HMGET', KEYS[1], unpack(ids, first, last))) do is_new = is_new and not known end
    is_new = is_new and not (has_shelves and next(indexed(ids, first, last)))
  end
  local stored, inside, band = call('HMGET', KEYS[17], unpack(fields)), {}, bit.band
  for i, entries in ipairs(stored) do
    is_new = is_new and (not entries or entries == '' or lows[i] ~= nil)
    for from = 13, entries and lows[i] and #entries or 0, 20 do
      local low, high = struct.unpack('>I4I4', entries, from)
      is_new = is_new and band(low, lows[i]) == 0 and band(high, highs[i]) == 0
    end
  end
  if is_new then
    local n, pushed_at, count, entries_of = tonumber(ARGV[2]), struct.pack('>I6', now_up), (#ARGV - 3) / 2, {}
    local number, refs, parcels, last = call('HINCRBY', KEYS[13], 'parcel', count) - count, {}, {}, 0
    for i = 1, count do
      local head = struct.pack('>I4', (number + i) % 4294967296) .. sub(ARGV[2 * i + 2], 2, 2)
      refs[i] = '\0' .. pushed_at .. head
      parcels[2 * i - 1], parcels[2 * i] = refs[i], ARGV[2 * i + 2]
    end
    for i, field in ipairs(fields) do
      local ref = refs[parcel_at[i] / 2 - 1]
      if lows[i] then
        entries_of[field] = (entries_of[field] or stored[i] or '') .. ref .. struct.pack('>I4I4', lows[i], highs[i])
      else
        entries_of[field] = ref
      end
    end
    for field, entries in pairs(entries_of) do
      inside[last + 1], inside[last + 2], last = field, entries, last + 2
    end
    for first = 1, has_alone and n or 0, 1000 do
      call('HDEL', KEYS[2], unpack(ids, first, math.min(first + 999, n)))
    end
    call('RPUSH', KEYS[3 + ARGV[3]], unpack(refs))
    call('HSET', KEYS[17], '\0', (call('HGET', KEYS[17], '\0') or 0) + n, unpack(inside))
    call('HSET', KEYS[15], unpack(parcels))
    if call('LLEN', KEYS[14]) == 0 then call('RPUSH', KEYS[14], '1') end
    return { 'pushed' }
  end
end
