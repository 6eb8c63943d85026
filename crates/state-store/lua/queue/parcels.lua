-- Reads parcels, as keys.lua describes them, and takes them apart.

-- The ids and the records (with the time of the push) of the jobs in a parcel.
local function contents(parcel)
  local ids, at = ids_in(parcel)
  local pushed_at, records = sub(parcel, 1, 6), {}
  for i = 1, #ids do
    local last = at + 3 + unpack_bytes('>I4', parcel, at)
    records[i] = sub(parcel, at + 4, last) .. pushed_at
    at = last + 1
  end
  return ids, records
end

-- A parcel of these jobs.
local function parcel_with(ids, records)
  local parts = { sub(records[1], -6) .. pack('>I2I2', #ids, #ids[1]), table.concat(ids) }
  for i, record in ipairs(records) do parts[i + 2] = pack('>I4', #record - 6) .. sub(record, 1, -7) end
  return table.concat(parts)
end

-- What is left of a parcel: the ids and records of those jobs that are in it still.
local function left_in(ref)
  local parcel, ids, records = call('HGET', parcels, ref), {}, {}
  if not parcel then return ids, records end
  local all, of_all = contents(parcel)
  for i, inside in ipairs(call('HMGET', parcel_of, unpack(all))) do
    if inside == ref then
      ids[#ids + 1] = all[i]
      records[#ids] = of_all[i]
    end
  end
  return ids, records
end

-- The state of a running job of a parcel. `flags`: as a state's.
local function state_under(lease, record, flags)
  local worker = sub(lease, 19)
  return 'r' .. sub(lease, 1, 16) .. '\0\1' .. sub(record, 3, 9) .. char(flags, #worker) .. worker .. '\0\0'
end

-- Forgets a parcel that has nothing left.
local function drop(ref)
  call('HDEL', parcels, ref)
  call('HDEL', parcel_leases, ref)
  call('ZREM', leased, ref)
end

-- So many jobs are not in this running parcel any more.
local function leave(ref, lease, count)
  local left = unpack_bytes('>I2', lease, 17) - count
  if left <= 0 then return drop(ref) end
  call('HSET', parcel_leases, ref, sub(lease, 1, 16) .. pack('>I2', left) .. sub(lease, 19))
end

-- Gives jobs of a running parcel a record, a state and a lease each, as if they had been pushed alone. `is_wanted(id)`: which.
local function take_out(ref, lease, is_wanted, flags)
  local ids, records = left_in(ref)
  local ends, scores, states, own, out = call('ZSCORE', leased, ref) or '0', {}, {}, {}, {}
  for i, id in ipairs(ids) do
    if is_wanted(id) then
      local at = #scores
      scores[at + 1], scores[at + 2] = ends, id
      states[at + 1], states[at + 2] = id, state_under(lease, records[i], flags)
      own[at + 1], own[at + 2] = id, records[i]
      out[#out + 1] = id
    end
  end
  many('ZADD', leased, scores)
  many('HSET', state, states)
  many('HSET', jobs, own)
  many('HDEL', parcel_of, out)
  leave(ref, lease, #out)
end
