-- Leases ready jobs to one worker: those of batches.
-- needs: contains, due_in, many, ones, positions_text, read_positions, record_in

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

-- The first of these positions, as far as they are wanted and due, how many they are, whether no
-- other one is ready, and the blob, or their records with their lengths if these are much less.
local function choose(claim, id, s, blob, positions)
  local size, n_free, left, room = byte(blob), ones(positions), claim.most - claim.count, claim.room
  local is_whole = #blob <= room and (4 * math.min(n_free, left) >= size or #blob < 2048)
  -- The entry has the first time of those that wait for theirs.
  local due_from = byte(s, 15) >= 16 and tonumber(call('ZSCORE', due, byte(s, 15) % 4 .. id))
  if is_whole and n_free <= left and not due_from then return positions, n_free, true, blob end
  local first, n, is_all, records = 0, 0, true, {}
  for position = 0, size - 1 do
    local is_due = not due_from or due_in(s, blob, position) < due_from
    if is_due and contains(positions, position) then
      local record = is_whole and '' or record_in(blob, position)
      is_all = n < left and fits(claim, room, #record)
      if not is_all then break end
      first, n, room = first + 2 ^ position, n + 1, room - #record
      records[n] = pack('>I3', #record) .. record
    end
  end
  return first, n, is_all, is_whole and blob or table.concat(records)
end

-- Leases the first ready positions of a batch, and adds them to what is returned. Returns 1, or 0
-- if others are ready.
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
  local positions, n, is_all, records = choose(claim, id, s, blob, free)
  -- A later claim can take it whole: that costs less than two claims of parts.
  local size = byte(blob)
  local may_wait = claim.count > 0 and size >= 16 and claim.most >= size and not claim.is_again
  if not is_all and may_wait then return 0 end
  if n > 0 then
    local text = positions_text(positions)
    local mark = records == blob and '\2' or '\3'
    add(claim.items, mark .. sub(id, 2) .. text .. sub(s, 1, 6), records)
    s = s .. pack('>c16I6c8BBc0', claim.fence, claim.ends, text, 0, #claim.worker, claim.worker)
    claim.batches[id] = s
    add(claim.states, id, s)
    add(claim.batch_ends, decimal(claim.ends), id)
    claim.count, claim.room = claim.count + n, claim.room - #records
  end
  return is_all and 1 or 0
end

-- Takes jobs in the order of priorities. Returns whether some may be left. Without `take_single` it
-- stops at the first single job: the claim `is_partial`.
local function take(claim, take_single)
  for priority = 0, 3 do
    local key, at, i = ready(priority), claim.taken[priority] or 0, 1
    local ids = call('LRANGE', key, at, at + 7)
    while ids[i] do
      if claim.count == claim.most or claim.room <= 0 or claim.visits <= 0 then return true end
      local take_next = byte(ids[i]) == 2 and take_batch or take_single
      claim.is_partial = not take_next
      if not take_next then return true end
      local n, is_left = take_next(claim, ids[i], key, at)
      i, at = i + n, at + n
      claim.taken[priority] = at
      if n == 0 or is_left then return true end
      if i > 8 then ids, i = call('LRANGE', key, at, at + 7), 1 end
    end
  end
  return false
end

-- Writes what was taken. `n`: how many jobs run, or false. A repeated claim has an older fence.
local function write_claim(claim, n)
  if claim.count == 0 then return end
  local fence = claim.is_again and last_fence or claim.fence
  call('HSET', meta, 'fence', fence, 'running', (n or 0) + claim.count)
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
