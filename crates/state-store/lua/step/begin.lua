-- step/begin: begins steps of runs, unless they have finished or a later attempt has begun.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how many steps a run may have
-- ARGV[4]  how much later than its end a run may be collected (ms)
-- ARGV     from 5 on, for each step: name, its words. The words: attempt (16 digits), `r` if
--          attempts are those of the run or `s`, how long the run lasts from now on (ms, 15
--          digits), the attempt that it replaces or nothing
-- Returns  'each', then for each step: 'started' | 'finished', output | 'sleeping', until ms, left
--          ms | 'superseded', by attempt | 'failed', error
-- Retry    recognised by its attempt; then writes the same again, so that WAIT covers it
-- Cost     O(steps), and the bytes of stored outputs
-- needs: begin_step
local most, margin, reply = tonumber(ARGV[3]), tonumber(ARGV[4]), {'each'}
for index, key in ipairs(KEYS) do
  local name, words = ARGV[2 * index + 3], ARGV[2 * index + 4]
  local attempt, of, ttl, rest = struct.unpack('c16c1c15', words)
  local restart_of = string.sub(words, rest)
  reply[index + 1] = begin_step(key, name, attempt, of == 'r', restart_of, ttl, most, margin)
end
return reply
