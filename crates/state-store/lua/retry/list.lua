-- retry/list: what is recorded of operations.
-- KEYS     strings, the operations: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- Returns  'each', then for each operation: 'operation', the record | 'absent' | 'failed', error
-- Retry    reads
-- Cost     O(operations)
-- needs: read_operation
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local read = read_operation(key)
  local answer = read.state and {'operation', read.value} or 'absent'
  reply[index + 1] = read.failure and {'failed', read.failure} or answer
end
return reply
