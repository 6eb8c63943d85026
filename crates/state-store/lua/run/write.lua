-- run/write: changes runs and appends events, unless another write came first.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a run may be collected (ms)
-- ARGV[4]  how many bytes of events a run keeps
-- ARGV[5]  the command that notifies watchers: see notify_watchers.lua
-- ARGV     from 6 on, for each write: request (16 bytes), how long a call is remembered (ms),
--          version, sequence, fence (16 digits; each may be ''), states in which it is legal, the
--          new state or '', the kind of the event of a transition, '1' if the new state is an end
--          or '', number of payloads and events, number of payloads, then field and payload of
--          each, then kind and data of each
-- Returns  'each', then for each write the answer of write_run: see writing.lua
-- Retry    recognised by its request, in the run or in the log; then writes again, so that WAIT
--          covers it
-- Cost     O(events), and their bytes
-- needs: notify_watchers, read_write, write_run
local margin, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local reply, at, write = {'each'}, 6, nil
for index, key in ipairs(KEYS) do
  write, at = read_write(at)
  reply[index + 1] = write_run(key, write, margin, most_bytes)
end
for index, key in ipairs(KEYS) do
  if reply[index + 1][1] == 'done' then notify_watchers(ARGV[5], key) end
end
return reply
