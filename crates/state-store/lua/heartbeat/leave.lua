-- heartbeat/leave: removes a member that leaves its pool.
-- KEYS[1]  hash, KEYS[2] and KEYS[3] sorted sets: see beat.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  member
-- Returns  'left' | 'gone'
-- Retry    a repetition returns 'gone'
-- Cost     O(log members)
-- needs: call, now
local known = call('HGET', KEYS[1], ARGV[2])
call('HDEL', KEYS[1], ARGV[2])
call('ZREM', KEYS[3], ARGV[2])
call('ZREM', KEYS[2], ARGV[2])
if known and tonumber(string.sub(known, 31, 45)) > now then return {'left'} end
return {'gone'}
