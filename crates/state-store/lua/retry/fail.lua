-- retry/fail: records that attempts have failed, unless later ones have begun.
-- KEYS     strings, the operations: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a record may be collected (ms)
-- ARGV     from 4 on, for each operation: fence (16 digits), decision, wait (ms), how many attempts
--          it may have, how long the record lasts (ms), error
-- Returns  'each', then for each operation the answer of fail_operation: see writes.lua
-- Retry    recognised by its fence; the first error and decision stay
-- Cost     O(operations)
-- needs: fail_operation
local margin, reply = tonumber(ARGV[3]), {'each'}
for index, key in ipairs(KEYS) do
  local fence, decision, wait, most, ttl, text = unpack(ARGV, 6 * index - 2, 6 * index + 3)
  wait, most, ttl = tonumber(wait), tonumber(most), tonumber(ttl)
  reply[index + 1] = fail_operation(key, fence, decision, wait, most, ttl, text, margin)
end
return reply
