-- queue/settle: ends deliveries.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2 bounds of what is kept, 3 how many groups, 4.. for each: lease ('r', fence in 16 digits, end in ms), how
--         long each id is, the packed ids, or 0 and runs (see named.lua); then for each job but those that
--         are just complete: position from 1, outcome, time in ms, result or reason, unique key or ''
-- Returns 'settled', then the positions from 0 of those that were lost
-- Retry   recognised by the fence while the job is retained, else by the end of the lease
-- Cost    n jobs that are just complete: in parcels 8 commands and 2 per parcel, O(n), with ids made together O(n / 64);
--         alone 7, O(n log r) with r running; up to 15 more per other job, O(bytes of its parcel)
local refused, unusual, found, has_settled = { 'settled' }, {}, {}, false
for at = behind, #ARGV, 5 do unusual[tonumber(ARGV[at])] = at end
begin_moves()

-- Whether this settlement was carried out before: the job was settled under this fence, or is gone while the lease would
-- still last, which only its own settlement can have brought about.
local function is_repeated(id, lease, s)
  if s then return sub(s, 1, 1) ~= 'r' and sub(s, 2, 17) == sub(lease, 2, 17) end
  return now < tonumber(sub(lease, 18)) and call('HEXISTS', jobs, id) == 0 and not refs_of({ id })[1]
    and not shelved(id)
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
      found[at] = i
    else
      forget(id, s, '')
    end
  elseif not is_repeated(id, lease, s) then
    refused[#refused + 1] = i - 1
  end
end
-- In the order given: it is the order in which they come back.
for at = behind, #ARGV, 5 do
  local i = found[at]
  if i then outcomes[ARGV[at + 1]](ids[i], states[i], tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4]) end
end
-- A write of a repetition, too: only what writes can be waited for.
if #moved.left == 0 and not has_settled then call('HSET', meta, 'repeated', '1') end
flush()
return refused
