-- retry/clear: deletes what is recorded of operations, but for their fences.
-- KEYS     strings, the operations: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how long the fence is kept (ms)
-- Returns  'each', then for each operation: 'cleared' | 'absent' | 'failed', error
-- Retry    'cleared' also if there is no record: an earlier copy may have deleted it
-- Cost     O(operations)
-- needs: is_repeat, read_operation, clear_operation
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local read = read_operation(key)
  if read.failure then
    reply[index + 1] = {'failed', read.failure}
  else
    if read.state then clear_operation(read, ARGV[3]) end
    reply[index + 1] = (read.state or is_repeat) and 'cleared' or 'absent'
  end
end
return reply
