-- run/index: writes the entries of runs in listings, before the runs.
-- KEYS     for each run five sorted sets: see tidy.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each run: id, its names as in `ends` without the time, '1' if it has a
--          session or '', how long it lasts (ms), and if it exists already: created (µs), until
--          when it lasts (ms); else '' twice, or 'replace' and '' to replace an earlier entry
-- Returns  'each', then for each run: 'indexed', created (µs), when the entries may be swept (ms),
--          whether runs have expired that were not swept (0 or 1; once per call) | 'listed': `all`
--          has an entry with the id, and nothing was written
-- Retry    leads to the same state, with a later time; a sweep removes the earlier entry in `ends`
-- Cost     O(runs * log entries)
-- needs: call, now, now_up, micros, decimal
local reply = {'each'}
for index = 1, #KEYS / 5 do
  local ends, all, agent, session, both = unpack(KEYS, 5 * index - 4, 5 * index)
  local id, names, has_session, ttl, created, till = unpack(ARGV, 6 * index - 4, 6 * index + 1)
  if created == '' and call('ZSCORE', all, id) then
    -- A run that exists keeps its place: nobody may miss it who reads page after page.
    reply[index + 1] = 'listed'
  else
    if till == '' then
      -- Later than all others: listings have an order, and no two entries of a set the same score.
      local newest = call('ZRANGE', all, '0', '0', 'WITHSCORES')[2]
      created = decimal(math.max(micros, 1 - (tonumber(newest) or 0)))
      till = decimal(now_up + ttl)
    end
    local score = '-' .. created
    call('ZADD', ends, till, names .. ' ' .. created)
    call('ZADD', all, score, id)
    call('ZADD', agent, score, id)
    if has_session == '1' then
      call('ZADD', session, score, id)
      call('ZADD', both, score, id)
    end
    local due = 0
    if index == 1 and #call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', '0', '1') > 0 then
      due = 1
    end
    reply[index + 1] = {'indexed', created, till, due}
  end
end
return reply
