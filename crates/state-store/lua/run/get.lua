-- run/get: a run with its payloads.
-- KEYS[1]  hash, the run: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- Returns  'run', run, input, output, await request, error (each may be nil) | 'absent'
-- Retry    reads
-- Cost     O(1), and the bytes of the payloads
-- needs: call, now, unreadable
local stored = call('HMGET', KEYS[1], 'run', 'input', 'output', 'await', 'error')
local head = stored[1]
if not head then return {'absent'} end
if unreadable(head) then return redis.error_reply(unreadable(head)) end
local till = tonumber(string.sub(head, 65, 79))
if not till then return redis.error_reply('TWCORRUPT the entry is no run') end
if till <= now then return {'absent'} end
return {'run', head, stored[2], stored[3], stored[4], stored[5]}
