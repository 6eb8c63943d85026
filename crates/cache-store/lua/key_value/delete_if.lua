-- key_value/delete_if: deletes values that equal the expected ones.
-- KEYS     strings, framed values
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each value: the expected one, without frame
-- Returns  'each', then for each value: 'deleted' | 'kept' | 'failed', error
-- Retry    a repetition returns 'kept'
-- Cost     O(values), and their bytes
-- needs: call
local pcall, reply = redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local expected, value, answer = ARGV[index + 1], pcall('GET', key), 'kept'
  if type(value) == 'table' then
    answer = {'failed', value.err}
  elseif value then
    local start = string.byte(value) == 1 and 18 or 2
    if #value - start + 1 == #expected and string.sub(value, start) == expected then
      call('DEL', key)
      answer = 'deleted'
    end
  end
  reply[index + 1] = answer
end
return reply
