-- Where a job is: 'ready', 'scheduled', 'running', 'completed' or 'dead', its record, its state or '', and the time in ms that
-- belongs to the place, or ''; for a job in a parcel also the reference, and the parcel's lease if it runs. 'unknown' when there
-- is none, also a completed one whose time is over; then a reference that came is one to a parcel without the job.
local function find(id)
  local record, s = call('HGET', jobs, id), call('HGET', state, id)
  if not record then
    local ref = call('HGET', parcel_of, id)
    local parcel = ref and call('HGET', parcels, ref)
    if not parcel then return 'unknown', nil, nil, nil, ref end
    local ids, records = contents(parcel)
    for i, other in ipairs(ids) do
      local lease = other == id and parcel_lease(ref)
      if lease then
        return 'running', records[i], state_under(lease, records[i], 0), call('ZSCORE', leased, ref) or '0', ref, lease
      elseif other == id then
        return 'ready', records[i], '', '', ref
      end
    end
    return 'unknown', nil, nil, nil, ref
  end
  local status = s and sub(s, 1, 1) or 'w'
  if status == 'w' then
    local at = call('ZSCORE', due, byte(record, 3) .. id)
    return at and 'scheduled' or 'ready', record, s or '', at or ''
  elseif status == 'r' then
    return 'running', record, s, call('ZSCORE', leased, id) or '0'
  elseif status == 'd' then
    return 'dead', record, s, call('ZSCORE', dead, id) or '0'
  end
  local at = call('ZSCORE', completed, id) or '0'
  if tonumber(at) <= now then return 'unknown' end
  return 'completed', record, s, at
end
