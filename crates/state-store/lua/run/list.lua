-- run/list: the ids of runs, those that were created last first.
-- KEYS[1]  sorted set: see tidy.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  how many, at most
-- ARGV[3]  only those that were created before this (µs), or ''
-- Returns  'runs', number of entries, number of entries that follow, created (µs) of the last of
--          these runs or nil if none follow, then the ids
-- Retry    reads
-- Cost     O(runs of the page + log entries)
-- needs: call, decimal
local key, limit = KEYS[1], tonumber(ARGV[2])
local from = ARGV[3] == '' and '-inf' or '(-' .. ARGV[3]
local found = call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', '0', limit + 1)
local reply = {'runs', call('ZCARD', key), 0, false}
if #found > 2 * limit then
  local last = decimal(-tonumber(found[2 * limit]))
  reply[3], reply[4] = call('ZCOUNT', key, '(-' .. last, '+inf'), last
end
for index = 1, math.min(limit, #found / 2) do reply[index + 4] = found[2 * index - 1] end
return reply
