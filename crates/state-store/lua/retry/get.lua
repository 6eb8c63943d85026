-- retry/get: what is recorded of an operation.
-- KEYS[1]  string, the operation: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- Returns  'operation', the record | 'absent'
-- Retry    reads
-- Cost     O(1)
-- needs: read_operation
local read = read_operation(KEYS[1])
if read.failure then return redis.error_reply(read.failure) end
return read.state and {'operation', read.value} or {'absent'}
