-- queue/extend: makes leases last longer, and stores progress.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 lasting in ms, 4 for each batch: id (17 bytes), fence (16 digits),
--         positions (8 bytes), 5 for each single job: fence (16 digits), length (2 bytes), packed
--         id, 6.. for each job that reports progress: fence and packed id, progress
-- Returns 'shape' and the recorded one, or 'extended', the new end in ms, then for each other
--         answer: number from 0, 'lost', 'until' or 'cancel', its end. Numbers count the positions
--         of the batches, then the single jobs, then those that report progress
-- Retry   leads to the same state; the lease lasts from the last one on
-- Cost    n jobs: 7 commands and 1 per batch; a job of a batch that reports progress becomes a
--         single job: 6 more; O(n log r) with r running
-- needs: add, decimal, extract, flush, has_flag, held, last, leased, moved, n_plain, rest
-- needs: sub, with_flag, with_progress
local reply = { 'extended', last }

local function extend(id, fence, number, progress)
  local ends, s, batch, position = held(id, fence)
  local answer = not ends and 'lost' or s and has_flag(s, 1) and 'cancel' or ends > last and 'until'
  local new_end = math.max(ends or 0, last)
  if answer then
    add(reply, number, answer)
    reply[#reply + 1] = ends and new_end or 0
  end
  if not ends or batch and not progress then return end
  local heard = s
  if batch then id, heard = extract(batch, position) end
  heard = with_flag(progress and with_progress(heard, progress) or heard, 128)
  if ends ~= new_end or batch then add(moved.entered[leased], decimal(new_end), id) end
  if heard ~= s then add(moved.states, id, heard) end
end

for i, id in ipairs(rest.ids) do extend(id, rest.fences[i], rest.numbers[i]) end
for at = 6, #ARGV, 2 do
  extend(sub(ARGV[at], 17), sub(ARGV[at], 1, 16), n_plain + (at - 6) / 2, ARGV[at + 1])
end
flush('')
return reply
