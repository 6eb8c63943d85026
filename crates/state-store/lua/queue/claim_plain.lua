-- Reads what every claim has to know, and then the short ways of a claim: nothing is due, no lease has run out, and what is ready
-- first are parcels that are wanted whole, or jobs that were pushed alone, plain and never claimed.
local paused, last_fence, shelved = unpack(call('HMGET', KEYS[13], 'paused', 'fence', 'shelves'))
if paused then return { 'paused' } end
local next_due = tonumber(call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2])
if shelved then next_due = math.min(next_due or math.huge, (struct.unpack('>I6', shelved))) end
local next_end = tonumber(call('ZRANGE', KEYS[8], 0, 0, 'WITHSCORES')[2])
local most, byte, sub = tonumber(ARGV[3]), string.byte, string.sub
local fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))
if (not next_due or next_due > now) and (not next_end or next_end > now) then
  local list, room, first = 3, tonumber(ARGV[6]), nil
  repeat
    first = call('LRANGE', KEYS[list], 0, 8)
    list = list + 1
  until first[1] or list == 7
  local key, reply, ends, leases, count, taken = KEYS[list - 1], { 'claimed', now_up, fence, -1, 0 }, {}, {}, 0, 0
  local lease_end, leases_key, is_plain, is_cut_short = decimal(now_up + ARGV[4]), KEYS[16], #first > 0, false
  if is_plain and byte(first[1]) == 0 then
    -- A parcel of more than 16 of which only a part would fill what is wanted is left for the next claim, which costs less than
    -- to divide it.
    for at, ref in ipairs(first) do
      local parcel = count < most and taken < 8 and room > 0 and byte(ref) == 0 and call('HGET', KEYS[15], ref)
      local n = parcel and struct.unpack('>I2', parcel)
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
      reply[2 * at + 4], reply[2 * at + 5] = ref, parcel
    end
  elseif is_plain then
    -- At most 50. Where a parcel comes behind them, 16 are enough if they are half of what is wanted.
    local most_here = math.min(most, 50)
    if most_here > 8 and call('HSTRLEN', KEYS[1], first[1]) > 65536 then most_here = 8 end
    if most_here > 8 then first = call('LRANGE', key, 0, most_here) end
    local ids, chosen = {}, {}
    for at = 1, math.min(#first, most_here) do
      if byte(first[at]) == 0 then break end
      ids[at] = first[at]
    end
    local records, states = call('HMGET', KEYS[1], unpack(ids)), call('HMGET', KEYS[2], unpack(ids))
    local head, tail = 'r' .. fence .. '\0\1', '\0' .. string.char(#ARGV[5]) .. ARGV[5] .. '\0\0'
    leases_key = KEYS[2]
    for at, id in ipairs(ids) do
      local record = records[at]
      is_plain = record and not states[at] and byte(record, 2) % 16 == 0 and not chosen[id]
      if not is_plain or room <= 0 then break end
      taken, count, room, chosen[id] = at, at, room - #record, true
      ends[2 * at - 1], ends[2 * at] = lease_end, id
      leases[2 * at - 1], leases[2 * at] = id, head .. sub(record, 3, 9) .. tail
      reply[2 * at + 4], reply[2 * at + 5] = id, record
    end
    is_cut_short = taken < #first and (taken == most_here or taken >= 16 and 2 * taken >= most)
  end
  local is_full = count == most or room <= 0
  local is_left = taken < #first or list < 7 and call('EXISTS', unpack(KEYS, list, 6)) > 0
  if is_plain and taken > 0 and (is_full or not is_left or is_cut_short) then
    call('HSET', KEYS[13], 'fence', fence)
    call('ZADD', KEYS[8], unpack(ends))
    call('HSET', leases_key, unpack(leases))
    call('LTRIM', key, taken, -1)
    if is_left and call('LLEN', KEYS[14]) == 0 then call('RPUSH', KEYS[14], '1') end
    local next_one = math.min(next_due or math.huge, next_end or math.huge, now_up + ARGV[4])
    reply[4] = is_left and count < most and 0 or next_one - now
    reply[5] = taken
    return reply
  end
end
