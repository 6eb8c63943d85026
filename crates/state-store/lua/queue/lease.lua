-- Leases ready jobs to one worker: those of batches.
-- needs: add, byte, call, char, contains, decimal, due, due_in, first_positions, jobs, last_fence
-- needs: leased, lowest, many, meta, pack, positions_text, read_positions, ready, record_in, state
-- needs: sub, unpack_bytes

-- A claim. `most` jobs of about `room` bytes: the last may exceed it, unless the claim `is_strict`;
-- such a claim stops at a job that is too late. Collects `items` (ids and records, or positions of
-- batches and records), and `past`: for each job that was claimed before its number from 0 and its
-- state before. `taken`: how many ids at the head of each list it needs no more.
local function new_claim(fence, worker, ends, most, room)
  return { fence = fence, worker = worker, ends = ends, most = most, room = room, count = 0,
    items = {}, past = {}, taken = {}, visits = most + 1000, batches = {}, batch_ends = {},
    states = {} }
end

local function fits(claim, room, bytes)
  return room > 0 and (not claim.is_strict or bytes <= room)
end

-- The first of these positions, as far as they are wanted and due, how many they are, and whether
-- no other one is ready.
local function first_of(claim, id, s, blob, positions)
  local first, n, room, ended = 0, 0, claim.room, 0
  -- The entry has the first time of those that wait for theirs.
  local due_from = byte(s, 15) >= 16 and tonumber(call('ZSCORE', due, byte(s, 15) % 4 .. id))
  if #blob <= room and not due_from then
    first, n = first_positions(positions, claim.most - claim.count)
    return first, n, first == positions
  end
  for position = 0, byte(blob) - 1 do
    local ends = unpack_bytes('>I3', blob, 3 + 3 * position)
    local is_due = not due_from or due_in(s, blob, position) < due_from
    if is_due and contains(positions, position) then
      if claim.count + n == claim.most or not fits(claim, room, ends - ended) then
        return first, n, false
      end
      first, n, room = first + 2 ^ position, n + 1, room - ends + ended
    end
    ended = ends
  end
  return first, n, true
end

-- The records of `n` positions, each with its length.
local function records_of(blob, positions, n)
  local records = {}
  for i = 1, n do
    local position = lowest(positions)
    local record = record_in(blob, position)
    records[i], positions = pack('>I3', #record) .. record, positions - 2 ^ position
  end
  return table.concat(records)
end

-- Leases the first ready positions of a batch, and adds them to what is returned: with the blob, or
-- with their records if these are much less. Returns 1, or 0 if others are ready.
local function take_batch(claim, id)
  claim.visits = claim.visits - 1
  local s, from = claim.batches[id] or call('HGET', state, id), 16
  local free = s and read_positions(s, 7) or 1
  while s and from < #s do
    free, from = free - read_positions(s, from + 22), from + 32 + byte(s, from + 31)
  end
  if free == 0 then return 1 end
  local blob = call('HGET', jobs, id)
  if not s or not blob then
    -- An interrupted script has left the other one.
    call('HDEL', s and state or jobs, id)
    return 1
  end
  local positions, n, is_all = first_of(claim, id, s, blob, free)
  -- A later claim can take it whole: that costs less than two claims of parts.
  local size = byte(blob)
  local may_wait = claim.count > 0 and size >= 16 and claim.most >= size and not claim.is_again
  if not is_all and may_wait then return 0 end
  if n > 0 then
    local is_whole, text = 4 * n >= byte(blob) or #blob < 2048, positions_text(positions)
    local records = is_whole and blob or records_of(blob, positions, n)
    add(claim.items, (is_whole and '\2' or '\3') .. sub(id, 2) .. text .. sub(s, 1, 6), records)
    s = s .. claim.fence .. pack('>I6', claim.ends) .. text .. char(0, #claim.worker)
      .. claim.worker
    claim.batches[id] = s
    add(claim.states, id, s)
    add(claim.batch_ends, decimal(claim.ends), id)
    claim.count, claim.room = claim.count + n, claim.room - #records
  end
  return is_all and 1 or 0
end

-- Takes jobs in the order of priorities. Returns whether some may be left. Without `single`, which
-- leases single jobs, it stops at the first one: the claim `is_partial`. `lists`: how many of them
-- have elements, if this is known.
local function take(claim, single, lists)
  for priority = 0, 3 do
    local key, at, i = ready(priority), claim.taken[priority] or 0, 1
    local ids = lists == 0 and {} or call('LRANGE', key, at, at + 7)
    if lists and ids[1] then lists = lists - 1 end
    while ids[i] do
      if claim.count == claim.most or claim.room <= 0 or claim.visits <= 0 then return true end
      local take_next = byte(ids[i]) == 2 and take_batch or single
      claim.is_partial = not take_next
      local n, is_left = 0, true
      if take_next then n, is_left = take_next(claim, ids[i], key, at) end
      i, at = i + n, at + n
      claim.taken[priority] = at
      if n == 0 or is_left then return true end
      if i > 8 then ids, i = call('LRANGE', key, at, at + 7), 1 end
    end
  end
  return false
end

-- Writes what was taken. `n_running`: the counter, or false. A repeated claim has an older fence.
local function write_claim(claim, n_running)
  if claim.count == 0 then return end
  local fence = claim.is_again and last_fence or claim.fence
  call('HSET', meta, 'fence', fence, 'running', (n_running or 0) + claim.count)
  -- The score is the end of the batch's first lease.
  if claim.batch_ends[1] then call('ZADD', leased, 'LT', unpack(claim.batch_ends)) end
  if claim.single_ends then many('ZADD', leased, claim.single_ends) end
  many('HSET', state, claim.states)
end

-- Removes what was taken from the lists, when all of it is elsewhere.
local function trim_lists(claim)
  for priority, n in pairs(claim.taken) do
    if n > 0 then call('LTRIM', ready(priority), n, -1) end
  end
end
