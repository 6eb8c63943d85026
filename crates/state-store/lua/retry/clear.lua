-- retry/clear: deletes the records of operations.
-- KEYS     strings, the operations: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- Returns  'each', then for each operation: 'cleared' | 'absent' | 'failed', error
-- Retry    'cleared' also if there is no record: an earlier copy may have deleted it
-- Cost     O(operations)
-- needs: call, is_repeat, read_operation
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local read = read_operation(key)
  if read.failure then
    reply[index + 1] = {'failed', read.failure}
  else
    reply[index + 1] = (read.state or is_repeat) and 'cleared' or 'absent'
    call('DEL', key)
  end
end
return reply
