-- step/finish: records the outputs of steps, unless another attempt has begun them.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a run may be collected (ms)
-- ARGV     from 4 on, for each step: name, its words, output. The words: see begin.lua
-- Returns  'each', then for each step: 'recorded' | 'superseded' | 'failed', error
-- Retry    recognised by its attempt; the first output stays
-- Cost     O(steps), and the bytes of the outputs
-- needs: end_step
local margin, reply = tonumber(ARGV[3]), {'each'}
for index, key in ipairs(KEYS) do
  local name, words, output = unpack(ARGV, 3 * index + 1, 3 * index + 3)
  local attempt, of, ttl = struct.unpack('c16c1c15', words)
  reply[index + 1] = end_step(key, name, attempt, of == 'r', ttl, 'd', output, margin)
end
return reply
