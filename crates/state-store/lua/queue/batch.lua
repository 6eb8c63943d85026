-- Batches: plain jobs of one push that are stored together.
-- needs: WORD, contains, read_positions

-- The changing part of a batch; nil if there is none. Read once by a script. `kind`: priority, plus
-- 4 times the deliveries of each job that were not heard, plus 16 if it has delays.
local batches = {}
-- The format of a lease: fence, end, two words of positions, 1 if it was heard, worker.
local LEASE = '>c16I6I4I4BBc0'

local function read_batch(id)
  if batches[id] then return batches[id] end
  local s = call('HGET', state, id)
  if not s then return nil end
  local batch, from = { id = id, at = sub(s, 1, 6), kind = byte(s, 15), leases = {} }, 16
  batch.left = read_positions(s, 7)
  while from <= #s do
    local fence, ends, low, high, heard, worker, after = unpack_bytes(LEASE, s, from)
    batch.leases[#batch.leases + 1] = { fence = fence, ends = ends, positions = low + high * WORD,
      heard = heard, worker = worker }
    from = after
  end
  batches[id] = batch
  return batch
end

-- The batch that contains a job, and its position; nil if the job is single or unknown.
local function batch_of(id)
  if byte(id) ~= 1 or math.floor(byte(id, 8) / 16) ~= 8 then return nil end
  local position = byte(id, 17) % 64
  local batch = read_batch('\2' .. sub(id, 2, 16) .. char(byte(id, 17) - position))
  if batch and contains(batch.left, position) then return batch, position end
end

-- The lease of a position, or nil.
local function lease_of(batch, position)
  for _, lease in ipairs(batch.leases) do
    if contains(lease.positions, position) then return lease end
  end
end
