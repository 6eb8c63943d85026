-- Reads what every claim has to know, and then the short way of a claim: nothing is due, no lease has run out, and what is ready
-- first are parcels that are wanted whole. A parcel of more than 16 of which only a part would fill what is wanted is left for the
-- next claim, which costs less than to divide it.
local paused, last_fence = unpack(call('HMGET', KEYS[13], 'paused', 'fence'))
if paused then return { 'paused' } end
local next_due = tonumber(call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2])
local next_end = tonumber(call('ZRANGE', KEYS[8], 0, 0, 'WITHSCORES')[2])
local most, room = tonumber(ARGV[3]), tonumber(ARGV[6])
local fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))
if (not next_due or next_due > now) and (not next_end or next_end > now) then
  local list, refs = 3, nil
  repeat
    refs = call('LRANGE', KEYS[list], 0, 8)
    list = list + 1
  until refs[1] or list == 7
  local reply, ends, leases, count, taken = { 'claimed', now, fence, -1, 0 }, {}, {}, 0, 0
  local lease_end, is_plain, is_cut_short = decimal(now + ARGV[4]), #refs > 0, false
  for at = 1, is_plain and #refs or 0 do
    local ref = refs[at]
    local parcel = count < most and taken < 8 and room > 0 and string.byte(ref) == 0 and call('HGET', KEYS[15], ref)
    local n = parcel and struct.unpack('>I2', parcel, 7)
    if not parcel or n > most - count then
      is_cut_short = n and n > 16
      break
    end
    if call('HEXISTS', KEYS[16], ref) == 1 then
      is_plain = false
      break
    end
    taken, count, room = at, count + n, room - #parcel
    ends[2 * at - 1], ends[2 * at] = lease_end, ref
    leases[2 * at - 1], leases[2 * at] = ref, fence .. struct.pack('>I2', n) .. ARGV[5]
    reply[2 * at + 4], reply[2 * at + 5] = '', parcel
  end
  local is_full = count == most or room <= 0
  local is_left = taken < #refs or list < 7 and call('EXISTS', unpack(KEYS, list, 6)) > 0
  if is_plain and taken > 0 and (is_full or not is_left or is_cut_short) then
    call('HSET', KEYS[13], 'fence', fence)
    call('ZADD', KEYS[8], unpack(ends))
    call('HSET', KEYS[16], unpack(leases))
    call('LTRIM', KEYS[list - 1], taken, -1)
    if is_left and call('LLEN', KEYS[14]) == 0 then call('RPUSH', KEYS[14], '1') end
    local next_one = math.min(next_due or math.huge, next_end or math.huge, now + ARGV[4])
    reply[4] = is_cut_short and 0 or next_one - now
    reply[5] = taken
    return reply
  end
end
