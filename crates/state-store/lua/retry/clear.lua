-- retry/clear: deletes what is recorded of operations, but for their fences.
-- KEYS     for each operation: itself (string), see record.lua; the remembered call (string: a
--          word)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how long the fence is kept (ms)
-- ARGV[4]  how long a call is remembered (ms)
-- Returns  'each', then for each operation: 'cleared' | 'absent' | 'failed', error
-- Retry    recognised by the remembered call. 'cleared' also if there is no record: an interrupted
--          copy may have deleted it
-- Cost     O(operations)
-- needs: call, is_repeat, read_operation, clear_operation
local reply = {'each'}
for index = 1, #KEYS, 2 do
  local known, answer = KEYS[index + 1], nil
  -- What began after an earlier copy stays.
  if is_repeat and call('EXISTS', known) == 1 then
    answer = 'cleared'
  else
    local read = read_operation(KEYS[index])
    if read.failure then
      answer = {'failed', read.failure}
    elseif read.state then
      clear_operation(read, ARGV[3])
      call('SET', known, 'cleared', 'PX', ARGV[4])
    end
    answer = answer or (read.state or is_repeat) and 'cleared' or 'absent'
  end
  reply[#reply + 1] = answer
end
return reply
