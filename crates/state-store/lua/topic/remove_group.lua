-- topic/remove_group: removes a group from a partition.
-- KEYS[1]  groups (hash): see record.lua
-- KEYS[2]  the remembered call: see once.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  group
-- ARGV[4]  how long the call is remembered (ms)
-- Returns  'removed'
-- Retry    recognised by the remembered call
-- Cost     O(1)
-- needs: call, head_in, remember
local head, failure = head_in(call('HGET', KEYS[1], 'head'))
if failure then return redis.error_reply(failure) end
if head then
  call('HDEL', KEYS[1], 'g' .. ARGV[3])
else
  -- An interrupted script may have left it without a TTL.
  call('UNLINK', KEYS[1])
end
return remember({'removed'})
