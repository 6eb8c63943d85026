-- queue/extend: makes leases last longer, and stores progress.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 lasting in ms, 4 for each batch: id (17 bytes), fence (16 digits),
--         positions (8 bytes), 5 for each single job: fence (16 digits), length (2 bytes), packed
--         id, 6.. for each job that reports progress: fence and packed id, progress
-- Returns 'shape' and the recorded one, or the new end in ms, or 'extended', the new end, then for
--         each other answer: number from 0, 'lost', 'until' or 'cancel', its end. Numbers count the
--         positions of the batches, then the single jobs, then those that report progress
-- Retry   leads to the same state; the lease lasts from the last one on
-- Cost    n jobs: 7 commands and 1 per batch; a job of a batch that reports progress becomes a
--         single job: 6 more; O(n log r + bytes of the single jobs) with r running
-- needs: flush, has_flag, held, n_named, rest, stay, until_at_least, with_flag, with_progress
local reply = { 'extended', until_at_least }

local function extend(id, fence, number, progress)
  local job, ends = held(id, fence)
  local s, new_end = job.s, math.max(ends or 0, until_at_least)
  local word = not ends and 'lost' or has_flag(s, 1) and 'cancel'
    or ends > until_at_least and 'until'
  if word then
    add(reply, number, word)
    reply[#reply + 1] = ends and new_end or 0
  end
  if not ends or job.batch and not progress then return end
  stay(job, with_flag(progress and with_progress(s, progress) or s, 128), decimal(new_end))
end

for _, job in ipairs(rest) do extend(job.id, job.fence, job.number) end
for at = 6, #ARGV, 2 do
  extend(sub(ARGV[at], 17), sub(ARGV[at], 1, 16), n_named + (at - 6) / 2, ARGV[at + 1])
end
flush('')
return reply
