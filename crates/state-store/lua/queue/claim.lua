-- queue/claim: makes ready what is due, then leases the first ready jobs.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2 bounds of what is kept, 3 at most how many jobs, 4 lease in ms, 5 worker, 6 about how many bytes
-- Returns 'paused', or 'claimed', now in ms (rounded up), the fence (16 digits), ms until something becomes due (-1: nothing will), n,
--         then n times packed id, record, or reference, parcel, then for each job that has a past its position from 0, its state before
-- Retry   never: a job whose claim was not heard comes back when its lease runs out
-- Cost    n jobs: 14 commands, 3 per parcel and 4 per 50 others, O(n log r) with r running; a parcel of more jobs than wanted
--         is divided, 6 commands, or its p jobs are stored one by one, p + 7 commands, O(its bytes); at most 256 due jobs, 256
--         leases that ran out and 1,000 ids of forgotten jobs on top; due jobs on shelves 14 commands per 64 and per shelf
-- When the first scheduled job is due, or nil.
local function first_due()
  local first, first_shelved = first_score(due), first_score(shelves_due)
  return first_shelved and math.min(first or first_shelved, first_shelved) or first
end

if next_due and next_due <= now then
  seldom('due')
  next_due = first_due()
end
if next_end and next_end <= now then
  seldom('ended')
  next_end = first_score(leased)
end

local cut = {}
lease_end, head, worker = decimal(now_up + ARGV[4]), 'r' .. fence, char(#ARGV[5]) .. ARGV[5]
reply = { 'claimed', now_up, fence, -1, 0 }
for priority = 0, 3 do
  if not is_left then cut[priority] = take(priority) end
end
reply[5] = (#reply - 5) / 2
if count > 0 then
  next_end = math.min(next_end or math.huge, now_up + ARGV[4])
  call('HSET', meta, 'fence', fence)
  many('ZADD', leased, leases)
  many('HSET', state, running)
  many('HSET', parcel_leases, parcel_ends)
  if divided then
    call('HSET', parcels, divided.taken_as, divided.taken)
    move(divided.ids, divided.taken_as)
    call('HSET', parcels, divided.ref, divided.rest)
    call('HDEL', parcel_leases, divided.ref)
  end
  for i = 1, #freed_on_claim, 2 do release(freed_on_claim[i], freed_on_claim[i + 1]) end
end
if #late > 0 then seldom('late', late) end
many('HDEL', state, orphans)
for priority, count in pairs(cut) do
  if count > 0 then call('LTRIM', KEYS[3 + priority], count, -1) end
end

if next_due or next_end then
  reply[4] = math.max(0, math.min(next_due or math.huge, next_end or math.huge) - now)
end
for i = 1, #old do reply[#reply + 1] = old[i] end
local is_stopped = count == most or room <= 0 or visits <= 0
if is_cut_short then reply[4] = 0 end
if is_left or reply[4] == 0 or is_stopped and call('EXISTS', KEYS[3], KEYS[4], KEYS[5], KEYS[6]) > 0 then
  news()
  if count < most then reply[4] = 0 end
elseif count == 0 then
  seldom('idle')
end
return reply
