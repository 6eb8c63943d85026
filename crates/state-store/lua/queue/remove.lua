-- Forgets a job that was found and does not run. `ref`: of the parcel that it is in, or nil.
local function remove(id, record, ref)
  if ref then
    local ids, records = contents(ref, call('HGET', parcels, ref))
    for i = #ids, 1, -1 do
      if ids[i] == id then
        table.remove(ids, i)
        table.remove(records, i)
      end
    end
    write_parcel(ref, ids, records)
    move({ id })
    return
  end
  move({ id }) -- a script may have been cut that took it out
  call('HDEL', jobs, id)
  call('ZREM', due, byte(record, 3) .. id)
  call('HDEL', state, id)
  local key = unique_of(record)
  if key then release(key, id) end
end
