-- Takes jobs from the ready lists. An id there may be a ghost: of a job that was cancelled or deleted (it has no record), or
-- that stands elsewhere since, because it was pushed again under its id, or because a script was cut.
local leases, running, freed_on_claim, chosen, old, late, orphans, is_left = {}, {}, {}, {}, {}, {}, {}, false
local visits, count, parcel_ends, divided = most + 1000, 0, {}, nil
local reply, lease_end, head, worker

-- Cuts the first jobs off a parcel of which fewer are wanted than it holds: what is taken gets a number of its own.
local function divide(ref, parcel, wanted)
  local ids, at = ids_in(parcel)
  local records_at = at
  for _ = 1, wanted do at = at + 4 + unpack_bytes('>I4', parcel, at) end
  divided = { ref = ref, taken_as = '\0' .. pack('>I6I2', call('HINCRBY', meta, 'parcel', 1), wanted), inside = {} }
  for i = 1, wanted do
    divided.inside[2 * i - 1], divided.inside[2 * i] = ids[i], divided.taken_as
  end
  local pushed_at, size, ids_end = sub(parcel, 1, 6), sub(parcel, 9, 10), 10 + wanted * #ids[1]
  divided.taken = pushed_at .. pack('>I2', wanted) .. size .. sub(parcel, 11, ids_end) .. sub(parcel, records_at, at - 1)
  divided.rest = pushed_at .. pack('>I2', #ids - wanted) .. size .. sub(parcel, ids_end + 1, records_at - 1) .. sub(parcel, at)
end

-- Leases a parcel or the first jobs of it. Whether nothing of it is left in the list.
local function take_parcel(ref)
  local parcel = call('HGET', parcels, ref)
  if not parcel or call('HEXISTS', parcel_leases, ref) == 1 then return true end
  local n = unpack_bytes('>I2', parcel, 7)
  if n > most - count then
    n = most - count
    divide(ref, parcel, n)
    ref, parcel = divided.taken_as, divided.taken
  end
  count, room = count + n, room - #parcel
  leases[#leases + 1], leases[#leases + 2] = lease_end, ref
  parcel_ends[#parcel_ends + 1], parcel_ends[#parcel_ends + 2] = ref, fence .. pack('>I2', n) .. ARGV[5]
  reply[#reply + 1], reply[#reply + 2] = '', parcel
  return not divided
end

-- The state under the new lease of a job that has one already; nil for a ghost.
local function lease_again(id, record, s, kind)
  if byte(s) ~= 119 or is_due(id, record, s) then return nil end
  local reason = last_error(s)
  old[#old + 1], old[#old + 2] = count, s
  return head .. pack('>I2', unpack_bytes('>I2', s, 18) + 1) .. sub(s, 20, 26) .. char(reason and kind + 8 or kind) .. worker
    .. pack('>I2', #(reason or '')) .. (reason or '')
end

-- The state under its first lease of a job with flags; nil for a ghost and for one that is too late.
local function lease_first(id, record, flags, kind)
  if is_due(id, record) then return nil end
  if flags % 8 >= 4 and unpack_bytes('>I6', record, #record - 5) + unpack_bytes('>I6', record, 10) <= now then
    late[#late + 1], late[#late + 2] = id, record
    return nil
  end
  if flags % 4 == 1 then
    freed_on_claim[#freed_on_claim + 1], freed_on_claim[#freed_on_claim + 2] = unique_of(record), id
  end
  return head .. '\0\1' .. sub(record, 3, 9) .. char(kind) .. worker .. '\0\0'
end

-- Leases the jobs with these ids, as far as there is room; how many ids were dealt with.
local function take_ids(ids)
  local records, states = call('HMGET', jobs, unpack(ids)), call('HMGET', state, unpack(ids))
  visits = visits - #ids
  for i, id in ipairs(ids) do
    if room <= 0 then return i - 1 end
    local record, s, new = records[i], states[i], nil
    room = room - #(record or '')
    if not record then
      if s then orphans[#orphans + 1] = id end
    elseif not chosen[id] then
      local flags = byte(record, 2)
      chosen[id] = true
      if s then
        new = lease_again(id, record, s, flags % 4 == 2 and 2 or 0)
      elseif flags % 16 > 0 then
        new = lease_first(id, record, flags, flags % 4 == 2 and 2 or 0)
      else
        new = head .. '\0\1' .. sub(record, 3, 9) .. '\0' .. worker .. '\0\0'
      end
      if new then
        local last, next_reply, next_lease = #running, #reply, #leases
        leases[next_lease + 1], leases[next_lease + 2] = lease_end, id
        running[last + 1], running[last + 2] = id, new
        reply[next_reply + 1], reply[next_reply + 2] = id, record
        count = count + 1
      end
    end
  end
  return #ids
end

-- Leases what is ready in one list, and says how many of its elements were dealt with.
local function take(priority)
  local key, at = KEYS[3 + priority], 0
  while count < most and room > 0 and visits > 0 do
    local first = call('LINDEX', key, at)
    if not first then
      is_left = false
      break
    elseif byte(first) == 0 then
      visits = visits - 1
      is_left = not take_parcel(first) or count >= most and call('LLEN', key) > at + 1
      if divided then break end
      at = at + 1
    else
      local want = math.min(most - count, 50)
      local elements, ids = call('LRANGE', key, at, at + want), {}
      for i = 1, math.min(#elements, want) do
        if byte(elements[i]) == 0 then break end
        ids[i] = elements[i]
      end
      local dealt = take_ids(ids)
      at = at + dealt
      is_left = dealt < #elements
    end
  end
  return at
end
