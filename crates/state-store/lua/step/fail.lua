-- step/fail: records why attempts at steps have failed, unless another attempt has begun them.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a run may be collected (ms)
-- ARGV     from 4 on, for each step: name, attempt (16 digits), `r` if attempts are those of the
--          run or `s`, how long the run lasts from now on (ms), error
-- Returns  'each', then for each step: 'recorded' | 'superseded' | 'failed', error
-- Retry    recognised by its attempt; the first error stays
-- Cost     O(steps)
-- needs: end_step
local margin, reply = tonumber(ARGV[3]), {'each'}
for index, key in ipairs(KEYS) do
  local name, attempt, of, ttl, text = unpack(ARGV, 5 * index - 1, 5 * index + 3)
  reply[index + 1] = end_step(key, name, attempt, of == 'r', ttl, 'f', text, margin)
end
return reply
