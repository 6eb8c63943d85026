-- Takes parcels from the ready lists.

-- Cuts the first jobs off a parcel of which fewer are wanted than it holds: what is taken gets a number of its own.
local function divide(ref, parcel, wanted)
  local ids, at = ids_in(parcel)
  local records_at = at
  for _ = 1, wanted do at = at + 4 + unpack_bytes('>I4', parcel, at) end
  local number = call('HINCRBY', meta, 'parcel', 1) % 4294967296
  divided = { ref = ref, taken_as = sub(ref, 1, 7) .. pack('>I4B', number, wanted), ids = {} }
  for i = 1, wanted do divided.ids[i] = ids[i] end
  local size, ids_end = sub(parcel, 3, 4), 4 + wanted * #ids[1]
  divided.taken = pack('>I2', wanted) .. size .. sub(parcel, 5, ids_end) .. sub(parcel, records_at, at - 1)
  divided.rest = pack('>I2', #ids - wanted) .. size .. sub(parcel, ids_end + 1, records_at - 1) .. sub(parcel, at)
end

-- Leases a parcel or the first jobs of it. Whether nothing of it is left in the list. A large one is left for the next claim if
-- others were taken before it, and its jobs stand one by one if few are wanted: both cost less than to divide it.
local function take_parcel(key, ref)
  local lease = call('HGET', parcel_leases, ref)
  if lease == DIVIDED then lease = seldom('divided', ref) end
  local parcel = call('HGET', parcels, ref)
  if not parcel or lease then return true end
  local n = unpack_bytes('>I2', parcel)
  if n > most - count and n > 16 and count > 0 then
    is_cut_short = true
    return false
  elseif n >= 4 * most then
    seldom('few', { key, ref, parcel })
    return true
  elseif n > most - count then
    n = most - count
    divide(ref, parcel, n)
    parcel_ends[#parcel_ends + 1], parcel_ends[#parcel_ends + 2] = ref, DIVIDED
    ref, parcel = divided.taken_as, divided.taken
  end
  count, room = count + n, room - #parcel
  leases[#leases + 1], leases[#leases + 2] = lease_end, ref
  parcel_ends[#parcel_ends + 1], parcel_ends[#parcel_ends + 2] = ref, fence .. pack('>I2', n) .. ARGV[5]
  reply[#reply + 1], reply[#reply + 2] = ref, parcel
  return not divided
end
