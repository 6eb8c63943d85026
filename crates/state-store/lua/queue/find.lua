-- Finds jobs.
-- needs: byte, call, completed, contains, dead, decimal, due, due_in, jobs, lease_of, leased
-- needs: now, place_of, read_batch, record_in, running, state, sub

-- Where a job of a batch is; see `find`. Nil if it is not in its batch.
local function find_in_batch(batch_id, position)
  local batch = read_batch(batch_id)
  local blob = batch and contains(batch.low, batch.high, position) and call('HGET', jobs, batch_id)
  if not blob then return nil end
  local record, lease = record_in(blob, position) .. batch.at, lease_of(batch, position)
  if lease then
    local s = running(lease.fence, 1, sub(record, 3, 9), 0, lease.worker)
    return 'running', record, s, decimal(lease.ends), batch, position
  end
  local first = batch.kind >= 16 and call('ZSCORE', due, batch.kind % 4 .. batch_id)
  local at = first and due_in(batch, blob, position)
  if first and at >= tonumber(first) then
    return 'scheduled', record, '', decimal(at), batch, position
  end
  return 'ready', record, '', '', batch, position
end

-- Where a job is, its record, its state or '', the time in ms that belongs to the place or '', and, for
-- a job of a batch, the batch and the position. 'unknown' also for a completed one whose time is over.
local function find(id)
  local batch_id, batch_position = place_of(id)
  if batch_id then
    local place, found, s, at, batch, position = find_in_batch(batch_id, batch_position)
    if place then return place, found, s, at, batch, position end
  end
  local record, s = call('HGET', jobs, id), call('HGET', state, id)
  if not record then return 'unknown' end
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
