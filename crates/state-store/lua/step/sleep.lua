-- step/sleep: records when sleeps are over, once.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how many steps a run may have
-- ARGV[4]  how much later than its end a run may be collected (ms)
-- ARGV     from 5 on, for each sleep: name, attempt (16 digits), `r` if attempts are those of the
--          run or `s`, how long it lasts (ms), how long the run lasts after it (ms)
-- Returns  'each', then for each sleep: 'sleeping', until ms, left ms | 'superseded', by attempt |
--          'failed', error
-- Retry    the first call has recorded when the sleep is over; writes the same again
-- Cost     O(sleeps)
-- needs: begin_sleep
local most, margin, reply = tonumber(ARGV[3]), tonumber(ARGV[4]), {'each'}
for index, key in ipairs(KEYS) do
  local name, attempt, of, lasting, ttl = unpack(ARGV, 5 * index, 5 * index + 4)
  reply[index + 1] = begin_sleep(key, name, attempt, of == 'r', lasting, ttl, most, margin)
end
return reply
