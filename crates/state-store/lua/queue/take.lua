-- Leases ready jobs to one worker: single ones.
-- needs: attempts_of, fits, has_flag, last_error, release, running, salt, take, unheard_of
-- needs: unique_of, write_claim

-- Whether a job that was never claimed has missed its deadline.
local function is_late(record)
  if byte(record, 2) % 8 < 4 then return false end
  return unpack_bytes('>I6', record, #record - 5) + unpack_bytes('>I6', record, 10) <= now
end

-- The state of a single job under its new lease; nil if the id in the list is stale.
local function lease_single(claim, id, record, s)
  local flags, unheard, attempts, reason = byte(record, 2), 0, 1, nil
  -- It waits for its time. Only one that was delayed, or that has waited before, can.
  if (s or flags % 16 >= 8) and call('ZSCORE', due, byte(record, 3) .. id) then return nil end
  local is_keyed = flags % 4 == 1
  if s then
    if byte(s) ~= 119 then return nil end
    add(claim.past, claim.count, s)
    reason, attempts, unheard = last_error(s), attempts_of(s) + 1, unheard_of(s)
    is_keyed = has_flag(s, 16)
  elseif is_late(record) then
    add(claim.late, id, record)
    claim.room = claim.room - #record
    return nil
  end
  if is_keyed then add(claim.freed, unique_of(record), id) end
  local kind = (flags % 4 == 2 and 2 or 0) + unheard
  return running(claim.fence, attempts, sub(record, 3, 9), kind, claim.worker, reason)
end

-- Leases single jobs from an index of a list on, as far as there is room. Returns how many ids were
-- examined, and whether others are left for later.
local function take_singles(claim, first, key, at)
  local want, ids = math.min(claim.most - claim.count, 50), {}
  -- Large records are read a few at a time: not many more than there is room for.
  local size = want > 8 and call('HSTRLEN', jobs, first) or 0
  if size > 65536 then want = math.min(8, math.floor(claim.room / size) + 1) end
  for i, id in ipairs(call('LRANGE', key, at, at + want - 1)) do
    if byte(id) == 2 then break end
    ids[i] = id
  end
  local records, states = call('HMGET', jobs, unpack(ids)), call('HMGET', state, unpack(ids))
  claim.visits = claim.visits - #ids
  for i, id in ipairs(ids) do
    local record = records[i]
    local bytes = #(record or '') + #(states[i] or '')
    if not fits(claim, claim.room, bytes) then return i - 1, true end
    if not record and states[i] then call('HDEL', state, id) end
    if record and claim.is_strict and not states[i] and is_late(record) then return i - 1, true end
    -- An id that was pushed again can still be in another list.
    if record and ready(byte(record, 3)) == key and not claim.chosen[id .. salt] then
      claim.chosen[id .. salt] = true
      local s = lease_single(claim, id, record, states[i])
      if s then
        add(claim.single_ends, decimal(claim.ends), id)
        add(claim.states, id, s)
        add(claim.items, id, record)
        claim.count, claim.room = claim.count + 1, claim.room - bytes
      end
    end
  end
  return #ids, false
end

-- Takes and leases jobs of all kinds. Returns whether some may be left.
local function take_all(claim)
  claim.is_partial, claim.late, claim.freed, claim.single_ends, claim.chosen = nil, {}, {}, {}, {}
  local is_left = take(claim, take_singles)
  write_claim(claim, call('HGET', meta, 'running'))
  for i = 1, #claim.freed, 2 do release(claim.freed[i], claim.freed[i + 1]) end
  return is_left
end
