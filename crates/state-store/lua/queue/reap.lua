-- Makes ready what is due and what was lost.

-- Up to 256 scheduled jobs whose time has come.
local function move_due()
  local tails, members = { [0] = {}, {}, {}, {} }, call('ZRANGEBYSCORE', due, '-inf', decimal(now), 'LIMIT', 0, 256)
  for _, member in ipairs(members) do table.insert(tails[byte(member) - 48], sub(member, 2)) end
  for priority = 0, 3 do many('RPUSH', ready(priority), tails[priority]) end
  many('ZREM', due, members)
end

-- Up to 256 jobs whose lease ran out: ready again, dead after the last attempt, forgotten if that was asked for. An entry
-- whose job does not run is what a script left that was cut.
local function reap()
  begin_moves()
  local ids = call('ZRANGEBYSCORE', leased, '-inf', decimal(now), 'LIMIT', 0, 256)
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
