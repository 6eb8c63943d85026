-- run/create: creates runs, whose entries of listings have been written.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a run may be collected (ms)
-- ARGV     from 4 on, for each run: request (16 bytes), created (µs, 16 digits), when its entries
--          may be swept (ms), how long it lasts after a write (ms, 15 digits), how many events it
--          keeps, length of the agent (3 digits) with agent and session, input
-- Returns  'each', then for each run the answer of create_run: see creating.lua
-- Retry    recognised by its request, until another write changes the run
-- Cost     O(runs), and the bytes of their inputs
-- needs: create_run
local margin, reply = tonumber(ARGV[3]), {'each'}
for index, key in ipairs(KEYS) do
  local at = 7 * index - 3
  reply[index + 1] = create_run(key, {
    request = ARGV[at], created = ARGV[at + 1], lasts = tonumber(ARGV[at + 2]),
    ttl = ARGV[at + 3], most = tonumber(ARGV[at + 4]), names = ARGV[at + 5],
    input = ARGV[at + 6],
  }, margin)
end
return reply
