-- queue/get: one job, and what keeps it from running.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 packed id, 4 'before' to count the jobs before it, or ''
-- Returns 'shape' and the recorded one, or where the job is, its record, state or '', the time of
--         the place in ms or '', now in ms, whether the queue is paused (0 or 1), how many ready
--         jobs are before it at most
-- Retry   reads only
-- Cost    up to 6 commands, with ARGV[4] up to 14, O(bytes of the job or of its batch; up to 100
--         elements of each list)
-- needs: find, ones, read_batch
local job, before, longest = find(ARGV[3]), 0, 0
local is_counted = ARGV[4] == 'before' and job.place == 'ready'
for priority = 0, is_counted and byte(job.record, 3) or -1 do
  for _, id in ipairs(call('LRANGE', ready(priority), 0, 99)) do
    -- A batch counts as all its jobs.
    local batch = byte(id) == 2 and read_batch(id)
    before = before + (batch and ones(batch.left) or 1)
  end
  longest = math.max(longest, call('LLEN', ready(priority)))
end
if longest > 100 then before = n_alive or 1 end
return { job.place, job.record, job.s, job.at, now, paused and 1 or 0, before }
