-- Batches: plain jobs of one push that are stored together.
-- needs: byte, call, char, state, sub, unpack_bytes
local band, rshift, WORD = bit.band, bit.rshift, 4294967296

-- Sets of positions are two words: `low` for positions 0 to 31, `high` for 32 to 63.
local function common(word, other) return band(word, other) % WORD end
local function without(word, other) return word - band(word, other) % WORD end

-- Counts pairs, then fours, then bytes of bits side by side.
local function ones(word)
  local twos = word - band(rshift(word, 1), 0x55555555)
  local fours = band(twos, 0x33333333) + band(rshift(twos, 2), 0x33333333)
  return band(fours + rshift(fours, 4), 0x0F0F0F0F) % 255
end

-- The `n` lowest bits of a word that has more.
local function lowest(word, n)
  local rest = bit.tobit(word)
  for _ = 1, n do rest = band(rest, rest - 1) end
  return word - rest % WORD
end

-- The first of these positions, at most `most`, and how many they are.
local function first_positions(low, high, most)
  local n_low, n_high = ones(low), ones(high)
  if most >= n_low + n_high then return low, high, n_low + n_high end
  if most <= n_low then return lowest(low, most), 0, most end
  return low, lowest(high, most - n_low), most
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

-- The changing part of a batch; nil if there is none. Read once by a script. `kind`: priority, plus
-- 4 times the deliveries that were not heard, plus 16 if it has delays.
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

-- The batch that contains a job, and its position; nil if the job is single or unknown.
local function batch_of(id)
  if byte(id) ~= 1 or math.floor(byte(id, 8) / 16) ~= 8 then return nil end
  local position = byte(id, 17) % 64
  local batch = read_batch('\2' .. sub(id, 2, 16) .. char(byte(id, 17) - position))
  if batch and contains(batch.low, batch.high, position) then return batch, position end
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
