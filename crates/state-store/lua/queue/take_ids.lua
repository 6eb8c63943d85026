-- Takes jobs from the ready lists. An id there may be a ghost: of a job that was cancelled or deleted (it has no record), or
-- that stands elsewhere since, because it was pushed again under its id, or because a script was cut.
local leases, running, freed_on_claim, chosen, old, late, orphans, is_left = {}, {}, {}, {}, {}, {}, {}, false
local visits, count, parcel_ends, divided, is_cut_short = most + 1000, 0, {}, nil, false
local room, reply, lease_end, head, worker = tonumber(ARGV[6]), nil, nil, nil, nil

-- The state under the new lease of a job that has one already; nil for a ghost.
local function lease_again(id, record, s, kind)
  if byte(s) ~= 119 or is_due(id, record, s) then return nil end
  local reason = last_error(s)
  old[#old + 1], old[#old + 2] = count, s
  if byte(s, 27) >= 16 then
    freed_on_claim[#freed_on_claim + 1], freed_on_claim[#freed_on_claim + 2] = unique_of(record), id
  end
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
