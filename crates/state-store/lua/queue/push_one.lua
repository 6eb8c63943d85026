-- The short way of a push of one job without delay, deadline and unique key, which is not known, nor may be on a shelf.
local has_shelves = ARGV[3] ~= '' and call('HEXISTS', KEYS[13], 'shelves') == 1
if ARGV[3] ~= '' and ARGV[2] == '1' then
  local id, run = ARGV[4], ARGV[6]
  local inside = call('HGET', KEYS[17], run ~= '' and string.sub(run, 1, 17) or id) or ''
  local is_inside = inside ~= '' and run == ''
  for at = 13, run ~= '' and #inside or 0, 20 do
    local low, high = struct.unpack('>I4I4', inside, at)
    local of_low, of_high = struct.unpack('>I4I4', run, 18)
    is_inside = is_inside or bit.band(low, of_low) ~= 0 or bit.band(high, of_high) ~= 0
  end
  if not is_inside and call('HEXISTS', KEYS[1], id) == 0 and not (has_shelves and indexed(ARGV, 4, 4)[id]) then
    call('HDEL', KEYS[2], id)
    call('RPUSH', KEYS[3 + ARGV[3]], id)
    call('HSET', KEYS[1], id, ARGV[5] .. struct.pack('>I6', now_up))
    if call('LLEN', KEYS[14]) == 0 then call('RPUSH', KEYS[14], '1') end
    return { 'pushed' }
  end
end
