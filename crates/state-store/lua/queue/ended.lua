-- What becomes of jobs whose leases ran out.

-- Up to 256 ids whose lease ran out, fewer of large jobs. Parcels are taken apart before: their jobs come back one by one.
local function over()
  local members, parts = call('ZRANGEBYSCORE', leased, '-inf', decimal(now), 'LIMIT', 0, 256), 0
  local bytes = 0
  for _, ref in ipairs(members) do
    if byte(ref) == 0 and parts < 256 and bytes < 2 ^ 24 then
      local lease = held(ref)
      if lease then
        parts, bytes = parts + unpack_bytes('>I2', lease, 17), bytes + call('HSTRLEN', parcels, ref)
        take_out(ref, function() return true end, 0)
        drop(ref)
      else
        call('ZREM', leased, ref)
      end
    end
  end
  if parts > 0 then members = call('ZRANGEBYSCORE', leased, '-inf', decimal(now), 'LIMIT', 0, 256) end
  local ids = {}
  for _, id in ipairs(members) do
    if byte(id) ~= 0 then ids[#ids + 1] = id end
  end
  return ids
end

-- Up to 256 jobs whose lease ran out: ready again, dead after the last attempt, forgotten if that was asked for. An entry
-- whose job does not run is what a script left that was cut.
local function reap()
  local ids = over()
  if #ids == 0 then return end
  local states = call('HMGET', state, unpack(ids))
  for i, id in ipairs(ids) do
    local s = states[i]
    if s and sub(s, 1, 1) == 'r' then
      if byte(s, 27) % 2 == 1 then
        forget(id, s, '')
      elseif attempts_of(s) >= unpack_bytes('>I2', s, 21) then
        die(id, s, NO_FENCE, 'lease ran out on the last attempt', '')
      else
        wait_again(id, settled(s, 'w', NO_FENCE, attempts_of(s), 'lease ran out'), 0)
      end
    end
  end
  moved.left = ids
  flush()
end
