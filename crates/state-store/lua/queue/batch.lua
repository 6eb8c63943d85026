-- Batches: plain jobs of one push that are stored together.
-- needs: add, byte, call, char, decimal, due, jobs, leased, many, meta, pack, state, sub
-- needs: unpack_bytes
local band, WORD = bit.band, 4294967296

-- Sets of positions are two words: `low` for positions 0 to 31, `high` for 32 to 63.
local function common(word, other) return band(word, other) % WORD end
local function without(word, other) return word - band(word, other) % WORD end

local function ones(word)
  local count_of, rest = 0, bit.tobit(word)
  while rest ~= 0 do rest, count_of = band(rest, rest - 1), count_of + 1 end
  return count_of
end

local function contains(low, high, position)
  local word, exponent = low, position
  if position > 31 then word, exponent = high, position - 32 end
  return word % 2 ^ (exponent + 1) >= 2 ^ exponent
end

local function bit_of(position)
  if position > 31 then return 0, 2 ^ (position - 32) end
  return 2 ^ position, 0
end

local function job_id(batch_id, position)
  return '\1' .. sub(batch_id, 2, 16) .. char(byte(batch_id, 17) + position)
end

-- The batch and the position that an id names; nil if the library has not assigned it.
local function place_of(id)
  if byte(id) ~= 1 or math.floor(byte(id, 8) / 16) ~= 8 then return nil end
  local last = byte(id, 17)
  return '\2' .. sub(id, 2, 16) .. char(last - last % 64), last % 64
end

-- The changing part of a batch; nil if there is none. Read once by a script. `kind`: priority, plus 4
-- times the deliveries that were not heard, plus 16 if it has delays.
local batches = {}

local function read_batch(id)
  if batches[id] then return batches[id] end
  local s = call('HGET', state, id)
  if not s then return nil end
  local batch, from = { id = id, at = sub(s, 1, 6), leases = {} }, 16
  batch.low, batch.high, batch.kind = unpack_bytes('>I4I4B', s, 7)
  while from < #s do
    local ends, low, high, heard, size = unpack_bytes('>I6I4I4BB', s, from + 16)
    batch.leases[#batch.leases + 1] = {
      fence = sub(s, from, from + 15), ends = ends, low = low, high = high, heard = heard,
      worker = sub(s, from + 32, from + 31 + size),
    }
    from = from + 32 + size
  end
  batches[id] = batch
  return batch
end

-- The text of a batch, and when its first lease ends.
local function batch_text(batch)
  local parts, first = { batch.at, pack('>I4I4B', batch.low, batch.high, batch.kind) }, nil
  for _, lease in ipairs(batch.leases) do
    if lease.low + lease.high > 0 then
      parts[#parts + 1] = lease.fence .. pack('>I6I4I4BB', lease.ends, lease.low, lease.high,
        lease.heard, #lease.worker) .. lease.worker
      first = math.min(first or lease.ends, lease.ends)
    end
  end
  return table.concat(parts), first
end

-- Writes the batches that have changed. Those without jobs are removed.
local function write_batches()
  local ends, texts, gone, free, never_due = {}, {}, {}, {}, {}
  for id, batch in pairs(batches) do
    if batch.is_changed and batch.low + batch.high == 0 then
      gone[#gone + 1], free[#free + 1] = id, id
      if batch.kind >= 16 then never_due[#never_due + 1] = batch.kind % 4 .. id end
    elseif batch.is_changed then
      local text, first = batch_text(batch)
      add(texts, id, text)
      if first then add(ends, decimal(first), id) else free[#free + 1] = id end
    end
    batch.is_changed = false
  end
  many('ZADD', leased, ends)
  many('HSET', state, texts)
  -- A batch that has a lease has its records: they go last. Who visits an index entry without a batch
  -- removes them.
  many('HDEL', state, gone)
  many('HDEL', jobs, gone)
  many('ZREM', leased, free)
  many('ZREM', due, never_due)
end

-- Forgets changes that are not written.
local function forget_batches() batches = {} end

-- Takes positions out of a batch, leased or not.
local function leave(batch, low, high)
  batch.is_changed = true
  batch.low, batch.high = without(batch.low, low), without(batch.high, high)
  for _, lease in ipairs(batch.leases) do
    lease.low, lease.high = without(lease.low, low), without(lease.high, high)
  end
end

-- The lease of a position, or nil.
local function lease_of(batch, position)
  for _, lease in ipairs(batch.leases) do
    if contains(lease.low, lease.high, position) then return lease end
  end
end

local function record_in(blob, position)
  local n, from = byte(blob), 0
  if position > 0 then from = unpack_bytes('>I3', blob, 3 * position) end
  local begin = 2 + (byte(blob, 2) % 2 == 1 and 9 or 3) * n
  return sub(blob, begin + from + 1, begin + unpack_bytes('>I3', blob, 3 + 3 * position))
end

-- When a position is due, in ms.
local function due_in(batch, blob, position)
  local pushed_at = unpack_bytes('>I6', batch.at)
  if byte(blob, 2) % 2 == 0 then return pushed_at end
  return pushed_at + unpack_bytes('>I6', blob, 3 + 3 * byte(blob) + 6 * position)
end

-- The positions that wait for their due time: the entry in `due` has the first of these times.
local function scheduled_in(batch, blob)
  local low, high = 0, 0
  local first = batch.kind >= 16 and tonumber(call('ZSCORE', due, batch.kind % 4 .. batch.id))
  for position = 0, first and byte(blob) - 1 or -1 do
    if due_in(batch, blob, position) >= first and contains(batch.low, batch.high, position) then
      local of_low, of_high = bit_of(position)
      low, high = low + of_low, high + of_high
    end
  end
  return low, high
end

-- The positions that can be leased.
local function ready_in(batch, blob)
  local low, high = scheduled_in(batch, blob)
  low, high = batch.low - low, batch.high - high
  for _, lease in ipairs(batch.leases) do
    low, high = low - lease.low, high - lease.high
  end
  return low, high
end

-- Ends what an interrupted script began: the jobs that it had made single jobs leave their batches.
local function repair(moving)
  for from = 1, #moving, 17 do
    local batch = read_batch(sub(moving, from, from + 16))
    for position = 0, batch and 63 or -1 do
      if contains(batch.low, batch.high, position) then
        local id = job_id(batch.id, position)
        if call('HEXISTS', jobs, id) == 1 then
          leave(batch, bit_of(position))
        else
          call('HDEL', state, id)
        end
      end
    end
  end
  write_batches()
  call('HDEL', meta, 'moving')
end
