-- queue/settle: ends deliveries.
-- KEYS    those of keys.lua, 15 call (string)
-- ARGV    1 clock, 2 shape, 3 ms for which the call is remembered, 4 bounds of what is kept, 5 for
--         each batch: id (17 bytes), fence (16 digits), positions (8 bytes), 6 for each single
--         job: fence (16 digits), length (2 bytes), packed id; these jobs are just complete; 7..
--         for each other job: fence and packed id, outcome, time in ms, result or reason
-- Returns 'shape' and the recorded one, or 'settled', then the numbers from 0 of those that were
--         lost, or 'unknown': an earlier copy may have settled some of those that are gone.
--         Numbers count the positions of the batches, then the single jobs, then the others
-- Retry   remembered until the last copy's deadline
-- Cost    n jobs that are just complete: 8 commands and 1 per batch, O(n log r) with r running; up
--         to 15 more per other job, O(bytes of its batch)
-- needs: attempts_of, call, completed, die, extract, fail, finish, flush, forget, held
-- needs: is_repeat, last_error, leased, moved, n_plain, n_settled, now_up, others, publish, rest
-- needs: settled, singles, sub, wait_again
local reply, is_unknown = { 'settled' }, false

-- What becomes of a job: gets its id, its state, a time in ms, and a text.
local outcomes = {
  complete = function(id, s, lasting, result)
    if lasting == 0 then return forget(id, s) end
    local finished = settled(s, 'c', attempts_of(s), last_error(s), result)
    finish(id, s, completed, now_up + lasting, finished)
  end,
  retry = fail,
  snooze = function(id, s, after) wait_again(id, s, after, attempts_of(s) - 1, last_error(s)) end,
  release = function(id, s) wait_again(id, s, -1, attempts_of(s) - 1, last_error(s)) end,
  dead = function(id, s, _, reason) die(id, s, reason) end,
}

local function settle(id, fence, number, outcome, time, text)
  local ends, s, batch, position = held(id, fence)
  if ends then
    if batch then id, s = extract(batch, position) else table.insert(moved.left[leased], id) end
    moved.counts.running = moved.counts.running - 1
    return outcome(id, s, time, text)
  end
  local was_settled = s and sub(s, 1, 1) ~= 'r' and sub(s, 2, 17) == fence
  if is_repeat and not s and not batch then
    -- The job is gone and the call is not remembered: an interrupted copy may have settled the job.
    is_unknown = true
  elseif not was_settled then
    reply[#reply + 1] = number
  end
end

for _, i in ipairs(others) do
  settle(rest.ids[i], rest.fences[i], rest.numbers[i], outcomes.complete, 0)
end
-- In the order given: it is the order in which they come back.
for at = 7, #ARGV, 4 do
  settle(sub(ARGV[at], 17), sub(ARGV[at], 1, 16), n_plain + (at - 7) / 4, outcomes[ARGV[at + 1]],
    tonumber(ARGV[at + 2]), ARGV[at + 3])
end
for _, id in ipairs(singles) do
  table.insert(moved.left[leased], id)
  table.insert(moved.forgotten, id)
end
n_settled = n_settled + #singles
moved.counts.alive = moved.counts.alive - n_settled
moved.counts.running = moved.counts.running - n_settled
flush(ARGV[4])
if is_unknown then reply = { 'unknown' } end
call('SET', KEYS[15], cmsgpack.pack(reply), 'PX', ARGV[3])
publish()
return reply
