-- heartbeat/beat: records that a member of a pool is alive. Removes members that were lost too long
-- ago, or that exceed the bound.
-- KEYS[1]  hash, member -> layout, since (ms, 15 digits), last beat (ms, 15 digits), until (ms,
--          15 digits), details
-- KEYS[2]  sorted set, member by minus until
-- KEYS[3]  sorted set, member by 0
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  member
-- ARGV[4]  how long it counts as alive, ms
-- ARGV[5]  details
-- ARGV[6]  how long a lost member is kept, ms
-- ARGV[7]  how many lost members are kept
-- Returns  'beaten'
-- Retry    beats again
-- Cost     O(log members), and up to 100 removed members
-- needs: call, now, now_up, decimal, layout, unreadable
-- The hash decides which members exist. A member is added to the indices before the hash, and
-- removed from the hash before the indices. An index entry without a member, or with another time
-- than the member's, is stale and ignored.
local member, till = ARGV[3], now_up + ARGV[4]
local known = call('HGET', KEYS[1], member)
local since = decimal(now)
if known then
  if unreadable(known) then return redis.error_reply(unreadable(known)) end
  if tonumber(string.sub(known, 32, 46)) > now then since = string.sub(known, 2, 16) end
end
local entry = layout .. string.format('%015d%015d%015d', since, now, till) .. ARGV[5]
call('ZADD', KEYS[2], -till, member)
if not known then call('ZADD', KEYS[3], 0, member) end
call('HSET', KEYS[1], member, entry)
local last = tonumber(call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2])
local lasting = decimal(-last - now + ARGV[6])
for index = 1, 3 do call('PEXPIRE', KEYS[index], lasting) end
local over = math.max(
  call('ZCOUNT', KEYS[2], '(' .. decimal(ARGV[6] - now), '+inf'),
  call('ZCOUNT', KEYS[2], decimal(-now), '+inf') - ARGV[7]
)
if over > 0 then
  local forgotten = call('ZRANGE', KEYS[2], -math.min(over, 100), -1)
  call('HDEL', KEYS[1], unpack(forgotten))
  call('ZREM', KEYS[3], unpack(forgotten))
  call('ZREM', KEYS[2], unpack(forgotten))
end
return {'beaten'}
