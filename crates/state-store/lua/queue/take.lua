-- Takes jobs from the ready lists. An id there may be a ghost: of a job that was cancelled or deleted (it has no record), or
-- that stands elsewhere since, because it was pushed again under its id, or because a script was cut.
local leases, running, reply, freed_on_claim, chosen = {}, {}, {}, {}, {}
local most, room, visits, lease_end, head, worker

local function has_missed_deadline(record, flags)
  if flags % 8 < 4 then return false end
  return unpack_bytes('>I6', record, #record - 5) + unpack_bytes('>I6', record, 10) <= now
end

local function miss_deadline(id, record, flags)
  if not moved then begin_moves() end
  local s = 'w' .. NO_FENCE .. '\0\0' .. sub(record, 3, 9) .. (flags % 4 > 0 and '\2' or '\0') .. '\0\0\0'
  die(id, s, NO_FENCE, 'deadline', unique_of(record) or '')
end

local function lease(id, record, s, flags)
  local at, kind = #leases, flags % 4 == 2 and 2 or 0
  leases[at + 1], leases[at + 2] = lease_end, id
  running[at + 1] = id
  if s then
    local reason = last_error(s)
    running[at + 2] = head .. pack('>I2', attempts_of(s) + 1) .. sub(s, 20, 26) .. char(reason and kind + 8 or kind)
      .. worker .. pack('>I2', #(reason or '')) .. (reason or '')
  else
    running[at + 2] = head .. '\0\1' .. sub(record, 3, 9) .. char(kind) .. worker .. '\0\0'
    if flags % 4 == 1 then add(freed_on_claim, (unique_of(record)), id) end
  end
  at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = id, record, s or ''
  room = room - #record
end

-- Leases what is ready in one list, and says how many of its ids were dealt with.
local function take(priority)
  local key, at = ready(priority), 0
  while #leases < 2 * most and room > 0 and visits > 0 do
    local ids = call('LRANGE', key, at, at + math.min(most - #leases / 2, 50) - 1)
    if #ids == 0 then break end
    local records, states = call('HMGET', jobs, unpack(ids)), call('HMGET', state, unpack(ids))
    local is_due = standing_due(ids, records, states)
    visits = visits - #ids
    for i, id in ipairs(ids) do
      if room <= 0 then return at end
      local record, s = records[i], states[i]
      at = at + 1
      if s and record and sub(s, 20, 26) ~= sub(record, 3, 9) then s = nil end
      if record and not is_due[i] and not chosen[id] and not (s and byte(s) ~= 119) then
        local flags = byte(record, 2)
        chosen[id] = true
        if not s and has_missed_deadline(record, flags) then
          miss_deadline(id, record, flags)
        else
          lease(id, record, s, flags)
        end
      end
    end
  end
  return at
end
