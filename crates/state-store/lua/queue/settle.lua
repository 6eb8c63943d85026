-- queue/settle: ends deliveries.
-- KEYS    those of keys.lua, 15 call (string)
-- ARGV    1 clock, 2 shape, 3 ms for which the call is remembered, 4 bounds of what is kept, 5 for
--         each batch: id (17 bytes), fence (16 digits), positions (8 bytes), 6 for each single
--         job: fence (16 digits), length (2 bytes), packed id; these jobs are just complete; 7..
--         for each other job: fence and packed id, outcome, time in ms, result or reason
-- Returns 'shape' and the recorded one, or 'settled', then the numbers from 0 of those that were
--         lost; as -1 - number, of those that are gone and that an earlier copy may have settled.
--         Numbers count the positions of the batches, then the single jobs, then the others
-- Retry   remembered until the last copy's deadline
-- Cost    n jobs that are just complete: 8 commands and 1 per batch, O(n log r) with r running; up
--         to 15 more per other job, O(bytes of its batch)
-- needs: extract, flush, held, move_count, n_named, n_settled, outcomes, publish, rest, wake
local reply = { 'settled' }

local function settle(id, fence, number, outcome, time, text)
  local job, ends = held(id, fence)
  local was_held = job.s and sub(job.s, 2, 17) == fence
  if ends then
    extract(job)
    outcome(job, time, text)
  elseif is_repeat and job.place == 'unknown' and not job.s then
    -- Gone, and no memory: an earlier copy may have been interrupted after it had settled it.
    reply[#reply + 1] = -1 - number
  elseif not was_held or job.place == 'running' then
    reply[#reply + 1] = number
  end
end

for _, job in ipairs(rest) do settle(job.id, job.fence, job.number, outcomes.complete, 0) end
-- In the order given: it is the order in which they come back.
for at = 7, #ARGV, 4 do
  settle(sub(ARGV[at], 17), sub(ARGV[at], 1, 16), n_named + (at - 7) / 4, outcomes[ARGV[at + 1]],
    tonumber(ARGV[at + 2]), ARGV[at + 3])
end
move_count('alive', -n_settled)
move_count('running', -n_settled)
if flush(ARGV[4]) then wake() end
call('SET', KEYS[15], cmsgpack.pack(reply), 'PX', ARGV[3])
publish()
return reply
