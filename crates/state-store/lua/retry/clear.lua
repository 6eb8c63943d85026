-- retry/clear: deletes what is recorded of operations, but for their fences.
-- KEYS     for each operation: itself (string), see record.lua; the remembered call (string: a
--          word)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how long the fence is kept (ms)
-- ARGV[4]  how long a call is remembered (ms)
-- Returns  'each', then for each operation: 'cleared' | 'absent' | 'failed', error
-- Retry    recognised by the remembered call. Without it, 'cleared' also if there is no record: an
--          interrupted copy may have deleted it
-- Cost     O(operations)
-- needs: call, is_repeat, read_operation, clear_operation
local reply = {'each'}
for index = 1, #KEYS, 2 do
  local known = KEYS[index + 1]
  -- What began after an earlier copy stays.
  local answer = is_repeat and call('GET', known)
  if not answer then
    local read = read_operation(KEYS[index])
    if read.failure then
      answer = {'failed', read.failure}
    else
      if read.state then clear_operation(read, ARGV[3]) end
      answer = (read.state or is_repeat) and 'cleared' or 'absent'
      call('SET', known, answer, 'PX', ARGV[4])
    end
  end
  reply[#reply + 1] = answer
end
return reply
