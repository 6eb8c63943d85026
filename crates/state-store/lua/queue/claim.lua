-- queue/claim: makes ready what is due, then leases the first ready jobs.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed,
--         10 dead (sorted sets), 11 unique (hash), 12 unique_until (sorted set), 13 meta (hash),
--         14 waiters (hash), 15 call (string)
-- ARGV    1 clock, 2 shape, 3 bounds of what is kept, 4 at most how many jobs, 5 lease in ms, 6
--         worker, 7 about how many bytes, 8 '' or the registration: token (8 bytes), reserve (2),
--         channel
-- Returns 'shape' and the recorded one, or 'paused', or 'claimed', now in ms (rounded up), the
--         fence (16 digits), ms until something becomes due (-1: nothing will), n, then n times
--         packed id, record, or positions of a batch, their records; then for each job that was
--         claimed before its number from 0, its state before
-- Retry   by the caller, within the lease: returns the jobs of the first claim that are still
--         leased
-- Cost    20 commands, 3 per batch and 4 per 50 other jobs, O(n log r + bytes of the batches) with
--         r running; at most 256 due entries, 256 expired leases and 1,000 stale ids on top
-- needs: bury, call, due, end_leases, first_score, is_repeat, leased, meta, micros, move_due
-- needs: new_claim, now, now_up, pack, publish, recall, remember, repair, sub, take, tidy
-- needs: unpack_bytes, waiters, wake
local shape, moving, paused, last_fence = unpack(call('HMGET', meta, 'shape', 'moving', 'paused', 'fence'))
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
if moving then repair(moving) end

-- Registers the worker as waiting, until a push or 10 s end it.
local function register()
  if ARGV[8] == '' then return end
  local reserve, channel = unpack_bytes('>I2', ARGV[8], 9), sub(ARGV[8], 11)
  call('HSET', waiters, sub(ARGV[8], 1, 8),
    pack('>I6I2I6B', now + 10000, reserve, ARGV[5], #channel) .. channel .. ARGV[6])
  call('PEXPIRE', waiters, 20000)
end

if paused then
  register()
  return { 'paused' }
end
local next_due, next_end = first_score(due), first_score(leased)
if next_due and next_due <= now then
  move_due()
  next_due = first_score(due)
end
if next_end and next_end <= now then
  end_leases(ARGV[3])
  next_end = first_score(leased)
end

local fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))
local ends = now_up + ARGV[5]
local claim = new_claim(fence, ARGV[6], ends, tonumber(ARGV[4]), tonumber(ARGV[7]))
local is_left = not (is_repeat and recall(claim)) and take(claim)
if claim.count > 0 then
  next_end = math.min(next_end or math.huge, claim.ends)
  remember(claim.fence, claim.items, ARGV[5])
end
if #claim.late > 0 then bury(claim.late, ARGV[3]) end
local next_one = math.min(next_due or math.huge, next_end or math.huge)
local wait = next_one < math.huge and math.max(0, next_one - now) or -1
if is_left or next_one <= now then wake() end
if is_repeat or claim.count < claim.most and (is_left or next_one <= now) then
  wait = 0
elseif claim.count < claim.most then
  register()
end
if claim.count == 0 and not is_left then tidy(ARGV[3]) end
local reply = { 'claimed', now_up, claim.fence, wait, #claim.items / 2 }
for i = 1, #claim.items do reply[#reply + 1] = claim.items[i] end
for i = 1, #claim.past do reply[#reply + 1] = claim.past[i] end
publish()
return reply
