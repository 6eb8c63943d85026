-- queue/extend: makes leases last longer, and stores progress.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list), 15 parcels, 16 parcel_leases,
--         17 parcel_of (hashes), 18 shelves (hash), 19 shelves_due (sorted set)
-- ARGV    1 clock, 2 lasting in ms, 3 how many groups, 4.. for each: lease ('r', fence in 16 digits), how long each id is, the
--         packed ids; then for each job that reports progress: position from 1, progress
-- Returns 'extended', the new end in ms, then for each other answer: position from 0, 'lost', 'until' or 'cancel', its end
-- Retry   recognised by the fence; the lease lasts from the last one on
-- Cost    n jobs: 4 commands, one for those with progress, and 2 per parcel; a parcel of which not all jobs are named is taken
--         apart: 14 commands; O(n log r) with r running
local last = now_up + ARGV[2]
local reply, leases, states, progress = { 'extended', last }, {}, {}, {}
for at = behind, #ARGV, 2 do progress[tonumber(ARGV[at])] = ARGV[at + 1] end

local function answer(index, word, ends)
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = index - 1, word, ends
end

-- A parcel lasts longer as a whole if all that is left of it is named and none reports progress; else what is named is taken
-- out of it.
local named, whole, refs, held_under = {}, {}, held_parcels(ids)
for i, ref in ipairs(refs) do
  if ref then
    local parcel = named[ref] or { ids = {}, count = 0, lease = held_under[ref] or '' }
    named[ref] = parcel
    if sub(parcel.lease, 1, 16) == sub(lease_of[i], 2) then
      if not parcel.ids[ids[i]] then parcel.count = parcel.count + 1 end
      parcel.ids[ids[i]] = true
      parcel.has_progress = parcel.has_progress or progress[i]
      whole[i] = ref
    end
  end
end
for ref, parcel in pairs(named) do
  local held_until = tonumber(call('ZSCORE', leased, ref) or 0)
  if parcel.count > 0 and held_until > now then
    if parcel.count == unpack_bytes('>I2', parcel.lease, 17) and not parcel.has_progress then
      parcel.ends = math.max(held_until, last)
      call('ZADD', leased, decimal(parcel.ends), ref)
    else
      take_out(ref, function(id) return parcel.ids[id] end, 0)
    end
  end
end

local stored = call('HMGET', state, unpack(ids))
local ends = call('ZMSCORE', leased, unpack(ids))
for i, id in ipairs(ids) do
  local s, held_until = stored[i], tonumber(ends[i] or 0)
  local parcel_end = whole[i] and named[whole[i]].ends
  if parcel_end then
    if parcel_end > last then answer(i, 'until', parcel_end) end
  elseif s and sub(s, 1, 17) == lease_of[i] and held_until > now then
    local flags = byte(s, 27)
    if flags % 2 == 1 then
      answer(i, 'cancel', math.max(held_until, last))
    elseif held_until > last then
      answer(i, 'until', held_until)
    end
    if held_until < last then
      leases[#leases + 1] = decimal(last)
      leases[#leases + 1] = id
    end
    if progress[i] then
      local at = 29 + byte(s, 28)
      states[#states + 1] = id
      states[#states + 1] = sub(s, 1, 26) .. char(flags - flags % 8 + flags % 4 + 4)
        .. sub(s, 28, at + 1 + unpack_bytes('>I2', s, at)) .. progress[i]
    end
  else
    answer(i, 'lost', 0)
  end
end
many('ZADD', leased, leases)
many('HSET', state, states)
return reply
