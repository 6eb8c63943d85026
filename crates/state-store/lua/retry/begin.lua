-- retry/begin: begins attempts at operations that are due.
-- KEYS     strings, the operations: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a record may be collected (ms)
-- ARGV[4]  the error of an attempt that did not end in time
-- ARGV     from 5 on, for each operation: request (16 bytes), how many attempts it may have, how
--          long the attempt may take (ms), how long the record lasts after it (ms)
-- Returns  'each', then for each operation the answer of begin_operation: see writes.lua
-- Retry    recognised by its request while its attempt runs and after its success, until another
--          one begins; writes the same again
-- Cost     O(operations)
-- needs: begin_operation
local margin, reply = tonumber(ARGV[3]), {'each'}
for index, key in ipairs(KEYS) do
  local request, most, lasting, ttl = unpack(ARGV, 4 * index + 1, 4 * index + 4)
  most, lasting, ttl = tonumber(most), tonumber(lasting), tonumber(ttl)
  reply[index + 1] = begin_operation(key, request, most, lasting, ttl, ARGV[4], margin)
end
return reply
