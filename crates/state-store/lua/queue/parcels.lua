-- Reads and makes parcels, as keys.lua describes them.

-- The ids and the records (with the time of the push) of the jobs in a parcel.
local function contents(ref, parcel)
  local ids, at = ids_in(parcel)
  local pushed_at, records = sub(ref, 2, 7), {}
  for i = 1, #ids do
    local last = at + 3 + unpack_bytes('>I4', parcel, at)
    records[i] = sub(parcel, at + 4, last) .. pushed_at
    at = last + 1
  end
  return ids, records
end

-- The record (with the time of the push) of one of the jobs in a parcel, found without reading the others; nil when it has none.
local function record_in(ref, parcel, id)
  local n, size = unpack_bytes('>I2I2', parcel)
  local from, at = 5, 5 + n * size
  repeat
    from = string.find(parcel, id, from, true)
    if not from or from >= at or #id ~= size then return nil end
    local before = (from - 5) / size
    from = from + 1
  until before % 1 == 0
  for _ = 1, (from - 6) / size do at = at + 4 + unpack_bytes('>I4', parcel, at) end
  return sub(parcel, at + 4, at + 3 + unpack_bytes('>I4', parcel, at)) .. sub(ref, 2, 7)
end

-- Makes a parcel hold these jobs, or none.
local function write_parcel(ref, ids, records)
  if #ids == 0 then return call('HDEL', parcels, ref) end
  local parts = { pack('>I2I2', #ids, #ids[1]), table.concat(ids) }
  for i, record in ipairs(records) do parts[i + 2] = pack('>I4', #record - 6) .. sub(record, 1, -7) end
  call('HSET', parcels, ref, table.concat(parts))
end

-- What is left of a parcel: the ids and records of those jobs that are in it still.
local function left_in(ref)
  local parcel, ids, records = call('HGET', parcels, ref), {}, {}
  if not parcel then return ids, records end
  local all, of_all = contents(ref, parcel)
  for i, inside in ipairs(refs_of(all)) do
    if inside == ref then
      ids[#ids + 1] = all[i]
      records[#ids] = of_all[i]
    end
  end
  return ids, records
end

-- A running parcel's lease, false when it is ready, and whether a script was cut that took jobs out.
local function parcel_lease(ref)
  local lease = call('HGET', parcel_leases, ref)
  if not lease or lease == DIVIDED then return false, false end
  if byte(lease) < 65 then return lease, false end
  return char(byte(lease) - 17) .. sub(lease, 2), true
end

-- The state of a running job of a parcel. `flags`: as a state's.
local function state_under(lease, record, flags)
  local worker = sub(lease, 19)
  return 'r' .. sub(lease, 1, 16) .. '\0\1' .. sub(record, 3, 9) .. char(flags, #worker) .. worker .. '\0\0'
end
