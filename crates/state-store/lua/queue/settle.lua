-- queue/settle: ends deliveries.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes)
-- ARGV    1 clock, 2 bounds of what is kept, 3 how many groups, 4.. for each: lease ('r', fence in 16 digits, end in ms), how
--         long each id is, the packed ids; then for each job but those that are just complete: position from 1, outcome, time
--         in ms, result or reason, unique key or ''
-- Returns 'settled', then the positions from 0 of those that were lost
-- Retry   recognised by the fence while the job is retained, else by the end of the lease
-- Cost    n jobs that are just complete: in parcels 3 commands and 2 per parcel, O(n); alone 6, O(n log r) with r running; up to
--         9 more per other job, O(bytes of its parcel)
local refused, unusual, has_settled = { 'settled' }, {}, false
for at = behind, #ARGV, 5 do unusual[tonumber(ARGV[at])] = at end
begin_moves()

local outcomes = {
  complete = function(id, s, lasting, result, key)
    if lasting == 0 then return forget(id, s, key) end
    add(moved.completed, decimal(now + lasting), id)
    add(moved.states, id, settled(s, 'c', sub(s, 2, 17), attempts_of(s), last_error(s), result))
    free(id, s, key)
  end,
  retry = function(id, s, after, reason, key)
    local attempts, fence = attempts_of(s), sub(s, 2, 17)
    if attempts >= unpack_bytes('>I2', s, 21) then return die(id, s, fence, reason, key) end
    wait_again(id, settled(s, 'w', fence, attempts, reason), after)
  end,
  snooze = function(id, s, after)
    wait_again(id, settled(s, 'w', sub(s, 2, 17), attempts_of(s) - 1, last_error(s)), after)
  end,
  dead = function(id, s, _, reason, key) die(id, s, sub(s, 2, 17), reason, key) end,
  release = function(id, s)
    table.insert(moved.heads[byte(s, 20)], id)
    add(moved.states, id, settled(s, 'w', sub(s, 2, 17), attempts_of(s) - 1, last_error(s)))
  end,
  cancelled = function(id, s, _, _, key) forget(id, s, key) end,
}

-- A job that was asked to be cancelled does not come back.
for _, outcome in ipairs({ 'retry', 'snooze', 'release' }) do
  local come_back = outcomes[outcome]
  outcomes[outcome] = function(id, s, after, reason, key)
    if byte(s, 27) % 2 == 1 then return forget(id, s, key) end
    come_back(id, s, after, reason, key)
  end
end

-- Whether this settlement was carried out before: the job was settled under this fence, or is gone while the lease would
-- still last, which only its own settlement can have brought about.
local function is_repeated(id, lease, s)
  if s then return sub(s, 1, 1) ~= 'r' and sub(s, 2, 17) == sub(lease, 2, 17) end
  return now < tonumber(sub(lease, 18)) and call('HEXISTS', jobs, id) + call('HEXISTS', parcel_of, id) == 0
end

-- Jobs in parcels: those that are just complete leave them, the others that are settled are taken out.
local completed_inside = settle_parcels(unusual)

local states = call('HMGET', state, unpack(ids))
local ends = (first_score(leased) or 0) <= now and call('ZMSCORE', leased, unpack(ids))
for i, id in ipairs(ids) do
  local s, lease = states[i], lease_of[i]
  if completed_inside[i] then
    has_settled = true
  elseif s and sub(s, 1, 17) == sub(lease, 1, 17) and (not ends or tonumber(ends[i] or 0) > now) then
    local at = unusual[i]
    moved.left[#moved.left + 1] = id
    if at then
      outcomes[ARGV[at + 1]](id, s, tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4])
    else
      forget(id, s, '')
    end
  elseif not is_repeated(id, lease, s) then
    refused[#refused + 1] = i - 1
  end
end
-- A write of a repetition, too: only what writes can be waited for.
if #moved.left == 0 and not has_settled then call('HSET', meta, 'repeated', '1') end
flush()
return refused
