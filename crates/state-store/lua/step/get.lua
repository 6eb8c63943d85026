-- step/get: a step of a run, with its output.
-- KEYS[1]  hash, the run: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  name
-- Returns  'step', its entry, its output | 'absent'
-- Retry    reads
-- Cost     O(1), and the bytes of the output
-- needs: call, now, unreadable
local stored = call('HMGET', KEYS[1], 'run', 's' .. ARGV[3], 'o' .. ARGV[3])
local head, entry = stored[1], stored[2]
if not head or not entry then return {'absent'} end
local failure = unreadable(head) or unreadable(entry)
if failure then return redis.error_reply(failure) end
if (tonumber(string.sub(head, 2, 16)) or 0) <= now then return {'absent'} end
return {'step', entry, stored[3] or ''}
