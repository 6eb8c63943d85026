-- Leases ready jobs to one worker.
-- needs: add, attempts_of, bit_of, byte, call, contains, count, decimal, first_positions, has_flag
-- needs: is_due, jobs, last_error, leased, many, meta, now, ones, pack, read_batch, ready
-- needs: ready_in, record_in, release, running, state, sub, unheard_of, unique_of, unpack_bytes
-- needs: write_batches

-- A claim. `most` jobs of about `room` bytes: the last may exceed it, unless the claim `is_strict`;
-- such a claim stops at a job that is too late. Collects `items` (ids and records, or batches), and
-- `past`: for each job that was claimed before its number from 0 and its state before.
local function new_claim(fence, worker, ends, most, room)
  return { fence = fence, worker = worker, ends = ends, most = most, room = room, count = 0,
    items = {}, past = {}, leases = {}, states = {}, freed = {}, late = {}, taken = {},
    visits = most + 1000, chosen = {} }
end

local function fits(claim, room, bytes)
  return room > 0 and (not claim.is_strict or bytes <= room)
end

-- The first of these positions, as far as they are wanted, and how many they are.
local function first_of(blob, low, high, claim)
  local wanted = claim.most - claim.count
  if #blob <= claim.room then return first_positions(low, high, wanted) end
  local of_low, of_high, n, room, end_before = 0, 0, 0, claim.room, 0
  for position = 0, byte(blob) - 1 do
    local ends = unpack_bytes('>I3', blob, 3 + 3 * position)
    if contains(low, high, position) then
      if n == wanted or not fits(claim, room, ends - end_before) then break end
      local bit_low, bit_high = bit_of(position)
      of_low, of_high = of_low + bit_low, of_high + bit_high
      n, room = n + 1, room - ends + end_before
    end
    end_before = ends
  end
  return of_low, of_high, n
end

-- Adds positions of a batch to what is returned: their records, or the blob if it is little more.
local function deliver(claim, batch, blob, low, high, n)
  local head = sub(batch.id, 2) .. pack('>I4I4', low, high) .. batch.at
  claim.count = claim.count + n
  if 4 * n >= byte(blob) or #blob < 2048 then
    claim.room = claim.room - #blob
    return add(claim.items, '\2' .. head, blob)
  end
  local records = {}
  for position = 0, byte(blob) - 1 do
    if contains(low, high, position) then
      local record = record_in(blob, position)
      add(records, pack('>I3', #record), record)
      claim.room = claim.room - #record
    end
  end
  add(claim.items, '\3' .. head, table.concat(records))
end

-- Whether no job of the batch is left for later.
local function take_batch(claim, id)
  local batch, blob = read_batch(id), nil
  claim.visits = claim.visits - 1
  if batch then
    blob = call('HGET', jobs, id)
    if not blob then call('HDEL', state, id) end
  else
    call('HDEL', jobs, id)
  end
  if not blob then return true end
  local low, high = ready_in(batch, blob)
  local n = ones(low) + ones(high)
  if n == 0 then return true end
  local is_all = n <= claim.most - claim.count and #blob <= claim.room
  if not is_all then
    local all = n
    low, high, n = first_of(blob, low, high, claim)
    is_all = n == all
    if n == 0 then return false end
  end
  batch.leases[#batch.leases + 1] = { fence = claim.fence, ends = claim.ends, low = low,
    high = high, heard = 0, worker = claim.worker }
  deliver(claim, batch, blob, low, high, n)
  batch.is_changed = true
  return is_all
end

-- Whether a job that was never claimed has missed its deadline.
local function is_late(record)
  if byte(record, 2) % 8 < 4 then return false end
  return unpack_bytes('>I6', record, #record - 5) + unpack_bytes('>I6', record, 10) <= now
end

-- The state of a single job under its new lease; nil if the id in the list is stale: of a job that
-- was removed, or that is elsewhere.
local function lease_single(claim, id, record, s)
  local flags, unheard, attempts, reason = byte(record, 2), 0, 1, nil
  if is_due(id, record, s) then return nil end
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

-- Leases single jobs, as far as there is room. Returns how many ids were examined.
local function take_singles(claim, ids)
  local records, states = call('HMGET', jobs, unpack(ids)), call('HMGET', state, unpack(ids))
  claim.visits = claim.visits - #ids
  for i, id in ipairs(ids) do
    local record = records[i]
    if not fits(claim, claim.room, #(record or '')) then return i - 1 end
    if not record and states[i] then call('HDEL', state, id) end
    if record and claim.is_strict and not states[i] and is_late(record) then return i - 1 end
    if record and not claim.chosen[id] then
      claim.chosen[id] = true
      local s = lease_single(claim, id, record, states[i])
      if s then
        add(claim.leases, decimal(claim.ends), id)
        add(claim.states, id, s)
        add(claim.items, id, record)
        claim.count, claim.room = claim.count + 1, claim.room - #record
      end
    end
  end
  return #ids
end

-- Takes jobs from the head of one list. Returns whether some may be left there.
local function take_from(claim, key)
  local at, is_left = 0, true
  while claim.count < claim.most and claim.room > 0 and claim.visits > 0 do
    local first = call('LINDEX', key, at)
    if not first then
      is_left = false
      break
    elseif byte(first) == 2 then
      if not take_batch(claim, first) then break end
      at = at + 1
    else
      local want, ids = math.min(claim.most - claim.count, 50), {}
      -- Large records are read a few at a time: not many more than there is room for.
      local size = want > 8 and call('HSTRLEN', jobs, first) or 0
      if size > 65536 then want = math.min(8, math.floor(claim.room / size) + 1) end
      for i, id in ipairs(call('LRANGE', key, at, at + want - 1)) do
        if byte(id) == 2 then break end
        ids[i] = id
      end
      local examined = take_singles(claim, ids)
      at = at + examined
      if examined < #ids then break end
    end
  end
  if at > 0 then add(claim.taken, key, at) end
  return is_left and call('LLEN', key) > at
end

-- Takes jobs in the order of priorities. Returns whether some may be left.
local function take(claim)
  local is_left = false
  for priority = 0, 3 do is_left = is_left or take_from(claim, ready(priority)) end
  if claim.count > 0 and not claim.is_again then call('HSET', meta, 'fence', claim.fence) end
  many('ZADD', leased, claim.leases)
  many('HSET', state, claim.states)
  write_batches()
  for i = 1, #claim.freed, 2 do release(claim.freed[i], claim.freed[i + 1]) end
  count('running', claim.count)
  return is_left
end

-- Removes what was taken from the lists, when all of it is elsewhere.
local function trim_lists(claim)
  for i = 1, #claim.taken, 2 do call('LTRIM', claim.taken[i], claim.taken[i + 1], -1) end
end
