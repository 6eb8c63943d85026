-- idempotency/abandon: frees the key of an idempotent request that was not executed.
-- KEYS[1]  string, the entry: see begin.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  request, 16 bytes
-- Returns  'abandoned' | 'lost'
-- Retry    a repetition returns 'lost'
-- Cost     O(1)
-- needs: call
if call('GETRANGE', KEYS[1], '0', '16') ~= 'p' .. ARGV[2] then return {'lost'} end
call('DEL', KEYS[1])
return {'abandoned'}
