-- Makes a lease that is still held last for another time, from now.
-- KEYS[1]  string, the lease: see acquire.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  fence, 16 digits
-- ARGV[3]  how long it lasts, ms
-- ARGV[4]  that and how long its fence is remembered behind it, ms
-- Returns  'renewed', until ms | 'lost'
-- Retry    sets it again, from then
-- Cost     O(1)
local lease = call('GET', KEYS[1])
if not lease or string.sub(lease, 1, 16) ~= ARGV[2] or string.byte(lease, 32) ~= 104 then return {'lost'} end
if tonumber(string.sub(lease, 17, 31)) <= now then return {'lost'} end
local head = ARGV[2] .. string.format('%015d', now + ARGV[3])
call('SET', KEYS[1], head .. string.sub(lease, 32), 'PX', ARGV[4])
return {'renewed', now + ARGV[3]}
