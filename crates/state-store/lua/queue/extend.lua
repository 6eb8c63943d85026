-- queue/extend: makes leases last longer, and stores progress.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 lasting in ms, 4 for each batch: id (17 bytes), fence (16 digits),
--         positions (8 bytes), 5 for each single job: fence (16 digits), length (2 bytes), packed
--         id, 6.. for each job that reports progress: its number from 1, progress. Numbers count
--         the positions of the batches, then the single jobs
-- Returns 'shape' and the recorded one, or 'extended', the new end in ms, then for each other
--         answer: number from 0, 'lost', 'until' or 'cancel', its end
-- Retry   leads to the same state; the lease lasts from the last one on
-- Cost    n jobs: 7 commands and 1 per batch; a job of a batch that reports progress becomes a
--         single job: 6 more; O(n log r) with r running
-- needs: add, call, contains, decimal, extend_batch, extract, flush, has_flag, heard
-- needs: interrupted, job_id, jobs, last, lease_of, leased, moved, now, read_batch, repair
-- needs: state, sub, unpack_bytes, with_progress
if interrupted then repair(interrupted) end
local number, from = 0, 1
local reply, progress, singles = { 'extended', last }, {}, {}
for at = 6, #ARGV, 2 do progress[tonumber(ARGV[at])] = ARGV[at + 1] end

local function answer(job_number, word, ends)
  add(reply, job_number - 1, word)
  reply[#reply + 1] = ends
end

-- Answers for one position.
local function extend_position(batch_id, fence, position, is_lost)
  if is_lost then
    return table.insert(singles, { id = job_id(batch_id, position), fence = fence, number = number })
  end
  local batch = read_batch(batch_id)
  local ends = lease_of(batch, position).ends
  if ends > last then answer(number, 'until', ends) end
  if not progress[number] then return end
  batch.blob = batch.blob or call('HGET', jobs, batch_id)
  extract(batch, batch.blob, position, function(id, s)
    add(moved.leases, decimal(ends), id)
    add(moved.states, id, with_progress(s, progress[number]))
  end)
end

for at = 1, #ARGV[4], 41 do
  local batch_id, fence = sub(ARGV[4], at, at + 16), sub(ARGV[4], at + 17, at + 32)
  local low, high = unpack_bytes('>I4I4', ARGV[4], at + 33)
  local lost_low, lost_high = extend_batch(batch_id, fence, low, high)
  for position = 0, 63 do
    if contains(low, high, position) then
      number = number + 1
      extend_position(batch_id, fence, position, contains(lost_low, lost_high, position))
    end
  end
end
while from < #ARGV[5] do
  local size = unpack_bytes('>I2', ARGV[5], from + 16)
  number = number + 1
  table.insert(singles, { id = sub(ARGV[5], from + 18, from + 17 + size),
    fence = sub(ARGV[5], from, from + 15), number = number })
  from = from + 18 + size
end
for _, single in ipairs(singles) do
  local s, ends = call('HGET', state, single.id), tonumber(call('ZSCORE', leased, single.id) or 0)
  if s and sub(s, 1, 17) == 'r' .. single.fence and ends > now then
    if has_flag(s, 1) then
      answer(single.number, 'cancel', math.max(ends, last))
    elseif ends > last then
      answer(single.number, 'until', ends)
    end
    if ends < last then add(moved.leases, decimal(last), single.id) end
    local text = progress[single.number]
    if text then s = with_progress(s, text) end
    if text or not has_flag(s, 128) then add(moved.states, single.id, heard(s)) end
  else
    answer(single.number, 'lost', 0)
  end
end
flush('')
return reply
