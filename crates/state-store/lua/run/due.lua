-- run/due: runs that may have expired.
-- KEYS[1]  sorted set, `ends`: see tidy.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  how many, at most
-- ARGV[3]  for how long they must have expired (ms)
-- Returns  'due', how many there are, then the entry of each
-- Retry    reads
-- Cost     O(runs + log entries)
-- needs: call, now
local latest = now - ARGV[3]
local found = call('ZRANGEBYSCORE', KEYS[1], '-inf', latest, 'LIMIT', '0', ARGV[2])
local reply = {'due', call('ZCOUNT', KEYS[1], '-inf', latest)}
for index, text in ipairs(found) do reply[index + 2] = text end
return reply
