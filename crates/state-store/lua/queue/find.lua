-- Finds jobs.
-- needs: batch_of, byte, call, completed, dead, decimal, due, due_in, jobs, lease_of, leased, now
-- needs: record_in, running, state, sub
local indexes = { w = due, r = leased, c = completed, d = dead }
local places = { w = 'ready', r = 'running', c = 'completed', d = 'dead' }

-- A job of a batch; see `find`.
local function find_in_batch(id, batch, position)
  batch.blob = batch.blob or call('HGET', jobs, batch.id)
  if not batch.blob then return { place = 'unknown' } end
  local record, lease = record_in(batch.blob, position) .. batch.at, lease_of(batch, position)
  local job = { id = id, place = 'ready', record = record, s = '', at = '', batch = batch,
    position = position }
  if lease then
    job.place, job.at = 'running', decimal(lease.ends)
    job.s = running(lease.fence, 1, sub(record, 3, 9), 0, lease.worker)
  elseif batch.kind >= 16 then
    local first = call('ZSCORE', due, batch.kind % 4 .. batch.id)
    local at = due_in(batch, batch.blob, position)
    if first and at >= tonumber(first) then job.place, job.at = 'scheduled', decimal(at) end
  end
  return job
end

-- A job: its id, place, record, state or '', the time in ms that belongs to the place or '', and
-- its batch and position, or its index and member there. Only the place is set if it is 'unknown':
-- also for a completed job whose time is over.
local function find(id)
  local batch, position = batch_of(id)
  if batch then return find_in_batch(id, batch, position) end
  local record, s = call('HGET', jobs, id), call('HGET', state, id)
  if not record then return { place = 'unknown' } end
  local status = s and sub(s, 1, 1) or 'w'
  local index, member = indexes[status], status == 'w' and byte(record, 3) .. id or id
  local at, place = call('ZSCORE', index, member), places[status]
  if place == 'completed' and tonumber(at or 0) <= now then return { place = 'unknown' } end
  if place == 'ready' and at then place = 'scheduled' end
  return { id = id, place = place, record = record, s = s or '', index = index, member = member,
    at = at or place == 'ready' and '' or '0' }
end
