-- heartbeat/leave: removes a member that leaves its pool.
-- KEYS[1]  hash, KEYS[2] and KEYS[3] sorted sets: see beat.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  member
-- Returns  'left' | 'gone'
-- Retry    a repetition returns 'gone'
-- Cost     O(log members)
-- needs: call, now, unreadable
local known = call('HGET', KEYS[1], ARGV[3])
if known and unreadable(known) then return redis.error_reply(unreadable(known)) end
call('HDEL', KEYS[1], ARGV[3])
call('ZREM', KEYS[3], ARGV[3])
call('ZREM', KEYS[2], ARGV[3])
if known and tonumber(string.sub(known, 32, 46)) > now then return {'left'} end
return {'gone'}
