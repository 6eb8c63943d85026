-- idempotency/abandon: frees the key of an idempotent request that was not executed.
-- KEYS[1]  string, the entry: see begin.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  request, 16 bytes
-- Returns  'abandoned' | 'lost'
-- Retry    a repetition returns 'lost'
-- Cost     O(1)
-- needs: call, unreadable
local head = call('GETRANGE', KEYS[1], '0', '17')
if head ~= '' and unreadable(head) then return redis.error_reply(unreadable(head)) end
if string.sub(head, 2) ~= 'p' .. ARGV[3] then return {'lost'} end
call('DEL', KEYS[1])
return {'abandoned'}
