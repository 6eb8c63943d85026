-- Blobs: the records of batches.

-- The blob of a batch that was read; false if there is none.
local function blob_of(batch)
  batch.blob = batch.blob or call('HGET', jobs, batch.id)
  return batch.blob
end

-- The record of a position, without the time of the push.
local function record_in(blob, position)
  local n, from = byte(blob), 0
  if position > 0 then from = unpack_bytes('>I3', blob, 3 * position) end
  local begin = 2 + (byte(blob, 2) % 2 == 1 and 9 or 3) * n
  return sub(blob, begin + from + 1, begin + unpack_bytes('>I3', blob, 3 + 3 * position))
end

-- When a position is due, in ms. `pushed_at`: a text that begins with the time of the push.
local function due_in(pushed_at, blob, position)
  local at = unpack_bytes('>I6', pushed_at)
  if byte(blob, 2) % 2 == 0 then return at end
  return at + unpack_bytes('>I6', blob, 3 + 3 * byte(blob) + 6 * position)
end
