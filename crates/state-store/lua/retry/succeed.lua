-- retry/succeed: records that attempts have succeeded, unless later ones have begun.
-- KEYS     strings, the operations: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a record may be collected (ms)
-- ARGV     from 4 on, for each operation: fence (16 digits), how long the record lasts (ms)
-- Returns  'each', then for each operation the answer of succeed_operation: see writes.lua
-- Retry    recognised by its fence; writes the same again
-- Cost     O(operations)
-- needs: succeed_operation
local margin, reply = tonumber(ARGV[3]), {'each'}
for index, key in ipairs(KEYS) do
  local fence, ttl = ARGV[2 * index + 2], tonumber(ARGV[2 * index + 3])
  reply[index + 1] = succeed_operation(key, fence, ttl, margin)
end
return reply
