-- Deletes a value if it is the expected one.
-- KEYS[1]  string, framed value
-- ARGV[1]  expected value, without frame
-- Returns  'deleted' | 'kept'
-- Retry    the second time it answers 'kept'
-- Cost     O(1), and the value's bytes
local value = redis.call('GET', KEYS[1])
if not value then return {'kept'} end
local start = string.byte(value) == 1 and 18 or 2
if #value - start + 1 ~= #ARGV[1] or string.sub(value, start) ~= ARGV[1] then return {'kept'} end
redis.call('DEL', KEYS[1])
return {'deleted'}
