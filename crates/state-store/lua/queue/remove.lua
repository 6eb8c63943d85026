-- Forgets a job that was found and does not run. `ref`: of the parcel that it is in, or nil.
local function remove(id, record, ref)
  if ref then
    local pushed_at, ids, records = sub(record, -6), contents(call('HGET', parcels, ref))
    local rest = {}
    for i, other in ipairs(ids) do
      if other ~= id then
        rest[#rest + 1] = pack('>I2', #other) .. other .. pack('>I4', #records[i] - 6) .. sub(records[i], 1, -7)
      end
    end
    if #rest > 0 then
      call('HSET', parcels, ref, pushed_at .. pack('>I2', #rest) .. table.concat(rest))
    else
      call('HDEL', parcels, ref)
    end
    call('HDEL', parcel_of, id)
    return
  end
  call('HDEL', jobs, id)
  call('HDEL', state, id)
  local key = unique_of(record)
  if key then release(key, id) end
  call('ZREM', due, byte(record, 3) .. id)
end
