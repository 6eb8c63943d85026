-- key_value/set_if_absent: sets a value if there is none.
-- KEYS[1]  string, framed value
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  framed value with its request
-- ARGV[3]  TTL in ms
-- Returns  'stored' | 'present', the present framed value
-- Retry    recognised by its request, which the present value contains
-- Cost     O(1), and the bytes of the values
-- needs: call
local present = call('SET', KEYS[1], ARGV[2], 'NX', 'GET', 'PX', ARGV[3])
if present then return {'present', present} end
return {'stored'}
