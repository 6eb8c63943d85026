-- lease/inspect: the holder of a lease.
-- KEYS[1]  string, the lease: see acquire.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- Returns  'held', fence, until ms, holder | 'free'
-- Retry    reads
-- Cost     O(1)
-- needs: call, now
local lease = call('GET', KEYS[1])
if not lease or string.byte(lease, 32) ~= 104 then return {'free'} end
local till = tonumber(string.sub(lease, 17, 31))
if till <= now then return {'free'} end
return {'held', tonumber(string.sub(lease, 1, 16)), till, string.sub(lease, 65)}
