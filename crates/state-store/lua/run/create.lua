-- run/create: creates runs, whose entries of listings have been written.
-- KEYS     for each run: itself (hash), see record.lua; the remembered call (string: the run that
--          it has created)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a run may be collected (ms)
-- ARGV     from 4 on, for each run: request (16 bytes), created (µs, 16 digits), when its entries
--          may be swept (ms), how long it lasts after a write (ms, 15 digits), how many events it
--          keeps, length of the agent (3 digits) with agent and session, input, how long the call
--          is remembered (ms)
-- Returns  'each', then for each run the answer of create_run: see creating.lua
-- Retry    recognised by the remembered call, also if the run was deleted; and by its request,
--          until another write changes the run
-- Cost     O(runs), and the bytes of their inputs
-- needs: call, is_repeat, create_run
local margin, reply = tonumber(ARGV[3]), {'each'}
for index = 1, #KEYS / 2 do
  local key, known, at = KEYS[2 * index - 1], KEYS[2 * index], 8 * index - 4
  local created = is_repeat and call('GET', known)
  local answer = created and {'done', created} or create_run(key, {
    request = ARGV[at], created = ARGV[at + 1], lasts = tonumber(ARGV[at + 2]),
    ttl = ARGV[at + 3], most = tonumber(ARGV[at + 4]), names = ARGV[at + 5],
    input = ARGV[at + 6],
  }, margin)
  -- Remembered again: a durable call waits for the last write of its connection.
  if answer[1] == 'done' then call('SET', known, answer[2], 'PX', ARGV[at + 7]) end
  reply[index + 1] = answer
end
return reply
