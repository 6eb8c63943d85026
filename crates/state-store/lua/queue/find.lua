-- Where a job is: 'ready', 'scheduled', 'running', 'completed' or 'dead', its record, its state or '', and the time in ms that
-- belongs to the place, or ''; for a job in a parcel also the reference, and the parcel's lease if it runs. 'unknown' when there
-- is none, also a completed one whose time is over; then a reference that came is one to a parcel without the job.
local function find(id)
  local record, s = call('HGET', jobs, id), call('HGET', state, id)
  if not record then
    local ref = refs_of({ id })[1]
    local parcel = ref and call('HGET', parcels, ref)
    record = parcel and record_in(ref, parcel, id)
    if not record then
      local time, on_shelf = shelved(id)
      if time then return 'scheduled', on_shelf, '', decimal(time) end
      return 'unknown', nil, nil, nil, ref
    end
    local lease = parcel_lease(ref)
    if not lease then return 'ready', record, '', '', ref end
    return 'running', record, state_under(lease, record, 0), call('ZSCORE', leased, ref) or '0', ref, lease
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
