-- How many jobs of parcels run, and how many parcels.
local function parcels_running()
  local left, leases = 0, call('HVALS', parcel_leases)
  for _, lease in ipairs(leases) do left = left + unpack_bytes('>I2', lease, 17) end
  return left, #leases
end
