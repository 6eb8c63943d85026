-- Takes jobs out of parcels that run.

-- Forgets a parcel that has nothing left.
local function drop(ref)
  call('HDEL', parcels, ref)
  call('HDEL', parcel_leases, ref)
  call('ZREM', leased, ref)
end

-- So many jobs are left in this running parcel. Its lease; false when it is gone.
local function keep(ref, lease, left)
  if left <= 0 then
    drop(ref)
    return false
  end
  lease = sub(lease, 1, 16) .. pack('>I2', left) .. sub(lease, 19)
  call('HSET', parcel_leases, ref, lease)
  return lease
end

-- So many jobs are not in this running parcel any more.
local function leave(ref, lease, count) return keep(ref, lease, unpack_bytes('>I2', lease, 17) - count) end

-- What is left of a parcel where a script was cut: jobs that have a record of their own are not in it any more.
local function still_in(ref)
  local ids, records = left_in(ref)
  local out = {}
  for i, record in ipairs(#ids > 0 and call('HMGET', jobs, unpack(ids)) or {}) do
    if record then out[#out + 1] = ids[i] end
  end
  if #out == 0 then return ids, records end
  move(out)
  return left_in(ref)
end

-- A running parcel's lease, or false, and whether a script was cut.
local function held(ref)
  local lease, is_torn = parcel_lease(ref)
  if not is_torn then return lease, false end
  return keep(ref, lease, #still_in(ref)), true
end

-- In which parcels jobs are, and by reference the leases of those that run.
local function held_parcels(ids)
  local refs, leases, is_any_torn = refs_of(ids), {}, false
  for _, ref in ipairs(refs) do
    if ref and leases[ref] == nil then
      local lease, is_torn = held(ref)
      leases[ref], is_any_torn = lease, is_any_torn or is_torn
    end
  end
  return is_any_torn and refs_of(ids) or refs, leases
end

-- Gives jobs of a running parcel a record, a state and a lease each, as if they had been pushed alone. `is_wanted(id)`: which.
local function take_out(ref, is_wanted, flags)
  local lease, ids, records = held(ref), left_in(ref)
  local ends, scores, states, own, out = call('ZSCORE', leased, ref) or '0', {}, {}, {}, {}
  for i, id in ipairs(ids) do
    if lease and is_wanted(id) then
      local at = #scores
      scores[at + 1], scores[at + 2] = ends, id
      states[at + 1], states[at + 2] = id, state_under(lease, records[i], flags)
      own[at + 1], own[at + 2] = id, records[i]
      out[#out + 1] = id
    end
  end
  if #out == 0 then return end
  call('HSET', parcel_leases, ref, char(byte(lease) + 17) .. sub(lease, 2))
  many('ZADD', leased, scores)
  many('HSET', state, states)
  many('HSET', jobs, own)
  move(out)
  leave(ref, lease, #out)
end
