-- heartbeat/leave: removes a member that leaves its pool.
-- KEYS[1]  hash, KEYS[2] and KEYS[3] sorted sets: see beat.lua
-- KEYS[4]  the remembered call: see once.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  member
-- ARGV[4]  how long the call is remembered (ms)
-- Returns  'left' | 'gone'
-- Retry    recognised by the remembered call
-- Cost     O(log members)
-- needs: call, now, remember, unreadable
local known = call('HGET', KEYS[1], ARGV[3])
if known and unreadable(known) then return redis.error_reply(unreadable(known)) end
call('HDEL', KEYS[1], ARGV[3])
call('ZREM', KEYS[3], ARGV[3])
call('ZREM', KEYS[2], ARGV[3])
local is_alive = known and tonumber(string.sub(known, 32, 46)) > now
return remember({is_alive and 'left' or 'gone'})
