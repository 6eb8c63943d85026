-- lease/inspect: the holder of a lease.
-- KEYS[1]  string, the lease: see acquire.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- Returns  'held', fence, until ms, holder | 'free'
-- Retry    reads
-- Cost     O(1)
-- needs: call, now, unreadable
local lease = call('GET', KEYS[1])
if not lease then return {'free'} end
if unreadable(lease) then return redis.error_reply(unreadable(lease)) end
local till = tonumber(string.sub(lease, 18, 32))
if string.byte(lease, 33) ~= 104 or till <= now then return {'free'} end
return {'held', tonumber(string.sub(lease, 2, 17)), till, string.sub(lease, 66)}
