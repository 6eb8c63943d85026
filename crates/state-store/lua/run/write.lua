-- run/write: changes runs and appends events, unless another write came first.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a run may be collected (ms)
-- ARGV[4]  how many bytes of events a run keeps
-- ARGV[5]  the command that notifies watchers: see notify_watchers.lua
-- ARGV     from 6 on, for each write: its words, then field and payload of each payload, then kind
--          and data of each event. The words: request (16 bytes), version, sequence, fence (16
--          digits each, or 16 hyphens), the new state or `-`, number of payloads (1 digit), number
--          of events (2), how long a call is remembered (ms, 10), states in which it is legal and
--          hyphens (7), the kind of the event of a transition
-- Returns  'each', then for each write the answer of write_run: see writing.lua
-- Retry    recognised by its request, in the run or in the log; then writes again, so that WAIT
--          covers it
-- Cost     O(events), and their bytes
-- needs: notify_watchers, write_run
local margin, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local reply, at, answer = {'each'}, 6, nil
for index, key in ipairs(KEYS) do
  answer, at = write_run(key, ARGV, at, margin, most_bytes)
  reply[index + 1] = answer
end
for index, key in ipairs(KEYS) do
  if reply[index + 1][1] == 'done' then notify_watchers(ARGV[5], key) end
end
return reply
