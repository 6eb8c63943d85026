-- Recognising jobs that are stored.
local dangling, forgotten = {}, {}

-- Whether a job that is stored counts: a completed one whose time is over is forgotten here.
local function counts(id, record)
  local last = call('ZSCORE', completed, id)
  if not last or tonumber(last) > now or status_of(id) ~= 'c' then return true end
  call('HINCRBY', meta, 'completed_bytes', -ENTRY - #record - call('HSTRLEN', state, id))
  call('HDEL', jobs, id)
  call('HDEL', state, id)
  call('ZREM', completed, id)
  return false
end

-- The request of a job that is known, alone, in a parcel or on a shelf; nil when its parcel is gone.
-- `is_indexed`: whether it can be on a shelf.
local function request_of(id, record, ref, is_indexed)
  if accepted[id] then return sub(accepted[id], 6, 9) end
  if record and not forgotten[id] then
    if counts(id, record) then return sub(record, 6, 9) end
    forgotten[id] = true
    return nil
  end
  local parcel = ref and call('HGET', parcels, ref)
  record = parcel and record_in(ref, parcel, id)
  if record then return sub(record, 6, 9) end
  local _, on_shelf
  if is_indexed then _, on_shelf = shelved(id) end
  if on_shelf then return sub(on_shelf, 6, 9) end
  if ref then dangling[#dangling + 1] = id end
end
