-- The shortest way of a settlement: jobs that are just complete, all held and in parcels, whose ids have families: they come as runs, and
-- those of one family are dealt with as one. `is_plain`: whether a short way may do; `is_lone`: whether none is in a parcel; nil: the
-- ids are others.
local behind, is_lone, unpack_bytes = 4 + 3 * ARGV[3], nil, struct.unpack
local is_plain = #ARGV < behind and (tonumber(call('ZRANGE', KEYS[8], 0, 0, 'WITHSCORES')[2]) or 0) > now
local families, lows, highs, counts_of, lease_of_run = {}, {}, {}, {}, {}
local are_runs, are_ids = false, false
for at = 4, is_plain and behind - 1 or 0, 3 do
  local is_run = ARGV[at + 1] == '0'
  are_runs, are_ids = are_runs or is_run, are_ids or not is_run
  local runs, fence = ARGV[at + 2], string.sub(ARGV[at], 2, 17)
  for run = 1, is_run and #runs or 0, 26 do
    local i = #families + 1
    families[i], lease_of_run[i] = string.sub(runs, run, run + 16), fence
    lows[i], highs[i], counts_of[i] = unpack_bytes('>I4I4B', runs, run + 17)
  end
end
is_plain = is_plain and not (are_runs and are_ids)
if is_plain and are_runs then
  local band, sub, tobit, pack = bit.band, string.sub, bit.tobit, struct.pack
  local stored, entries_of, counts, leases = call('HMGET', KEYS[17], unpack(families)), {}, {}, {}
  local are_inside, settled, any_inside = true, 0, false
  local function ones(word)
    local count = 0
    while word ~= 0 do word, count = band(word, word - 1), count + 1 end
    return count
  end
  for i, family in ipairs(families) do
    local entries, low, high, at = entries_of[family] or stored[i] or '', tobit(lows[i]), tobit(highs[i]), 1
    local left = counts_of[i]
    while at <= #entries and (low ~= 0 or high ~= 0) do
      local ref, of_low, of_high = sub(entries, at, at + 11), unpack_bytes('>I4I4', entries, at + 12)
      local these, those = band(of_low, low), band(of_high, high)
      at = at + 20
      if these ~= 0 or those ~= 0 then
        leases[ref] = leases[ref] or call('HGET', KEYS[16], ref) or ''
        are_inside, any_inside = are_inside and sub(leases[ref], 1, 16) == lease_of_run[i], true
        local count = these == low and those == high and left or ones(these) + ones(those)
        left, low, high = left - count, bit.bxor(low, these), bit.bxor(high, those)
        of_low, of_high = bit.bxor(of_low, these) % 2 ^ 32, bit.bxor(of_high, those) % 2 ^ 32
        local rest = of_low + of_high > 0 and ref .. pack('>I4I4', of_low, of_high) or ''
        entries = sub(entries, 1, at - 21) .. rest .. sub(entries, at)
        at = at - 20 + #rest
        settled, counts[ref] = settled + count, (counts[ref] or 0) + count
      end
    end
    entries_of[family] = entries
    are_inside = are_inside and low == 0 and high == 0
  end
  is_lone = not any_inside
  if are_inside then
    local total, all, gone = tonumber(call('HGET', KEYS[17], '\0')) - settled, {}, {}
    for family, entries in pairs(entries_of) do
      all[#all + 1], all[#all + 2] = family, entries
      if entries == '' then gone[#gone + 1] = family end
    end
    if total <= 0 then
      call('DEL', KEYS[17])
    else
      call('HSET', KEYS[17], '\0', total, unpack(all))
      if #gone > 0 then call('HDEL', KEYS[17], unpack(gone)) end
    end
    local over = {}
    for held, count in pairs(counts) do
      local left = unpack_bytes('>I2', leases[held], 17) - count
      if left > 0 then
        call('HSET', KEYS[16], held, sub(leases[held], 1, 16) .. pack('>I2', left) .. sub(leases[held], 19))
      else
        over[#over + 1] = held
      end
    end
    if #over > 0 then
      call('HDEL', KEYS[15], unpack(over))
      call('HDEL', KEYS[16], unpack(over))
      call('ZREM', KEYS[8], unpack(over))
    end
    return { 'settled' }
  end
end
