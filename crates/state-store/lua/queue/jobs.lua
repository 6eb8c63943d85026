-- Reads records, states and parcels, as keys.lua describes them.

-- Stands for the lease of a ready parcel that is being divided.
local DIVIDED = string.rep('0', 16) .. '\0\0'

-- The letter of a job's state; false when it has none.
local function status_of(id)
  local s = call('HGET', state, id)
  return s and sub(s, 1, 1)
end

-- The last error of a state, or nil.
local function last_error(s)
  if byte(s, 27) % 16 < 8 then return nil end
  local at = 29 + byte(s, 28)
  return sub(s, at + 2, at + 1 + unpack_bytes('>I2', s, at))
end

-- The unique key of a record, and where the record goes on; nil when it has none.
local function unique_of(record)
  local flags = byte(record, 2)
  if flags % 4 == 0 then return nil end
  local at = flags % 8 >= 4 and 16 or 10
  local last = at + byte(record, at)
  return sub(record, at + 1, last), last + 1
end

-- Gives a unique key back, unless another job holds it or it is held for a time.
local function release(key, id)
  local entry = call('HGET', unique, key)
  if entry == 'f' .. id or entry == 'c' .. id then call('HDEL', unique, key) end
end

-- Whether a job waits for its time. Only one that was delayed, or that has waited before, can.
local function is_due(id, record, s)
  return (s or byte(record, 2) % 16 >= 8) and call('ZSCORE', due, byte(record, 3) .. id)
end

-- The ids in a parcel, and where the first record begins.
local function ids_in(parcel)
  local n, size = unpack_bytes('>I2I2', parcel)
  local ids, at = {}, 5
  for i = 1, n do
    ids[i] = sub(parcel, at, at + size - 1)
    at = at + size
  end
  return ids, at
end
