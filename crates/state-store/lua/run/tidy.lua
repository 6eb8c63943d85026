-- run/tidy: removes the entries of runs in listings, or postpones the next look at them.
-- KEYS     for each run five sorted sets. `ends`: id, agent and session of a run and when it was
--          created (µs) with blanks between them, a time before which it has not expired (ms).
--          `all`, and those of its agent, of its session and of both: id of a run, minus when it
--          was created (µs)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each run: its entry in `ends`, created (µs), the time (ms) to which the
--          next look is postponed, `hour` for an hour from now on, or '' to remove the entries
-- Returns  'each', then for each run: 'tidied'
-- Retry    leads to the same state; the entries of a later run with the same id stay
-- Cost     O(runs * log entries)
-- needs: call, now, decimal
local reply = {'each'}
for index = 1, #KEYS / 5 do
  local ends, all, agent, session, both = unpack(KEYS, 5 * index - 4, 5 * index)
  local entry, created, till = unpack(ARGV, 3 * index - 1, 3 * index + 1)
  if till == 'hour' then till = decimal(now + 3600000) end
  if till ~= '' then
    call('ZADD', ends, 'XX', till, entry)
  else
    local score = '-' .. created
    call('ZREMRANGEBYSCORE', agent, score, score)
    if session ~= agent then
      call('ZREMRANGEBYSCORE', session, score, score)
      call('ZREMRANGEBYSCORE', both, score, score)
    end
    call('ZREMRANGEBYSCORE', all, score, score)
    -- The last one: an interrupted script is repeated by the next sweep.
    call('ZREM', ends, entry)
  end
  reply[index + 1] = 'tidied'
end
return reply
