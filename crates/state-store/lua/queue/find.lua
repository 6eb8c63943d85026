-- Finds jobs.
-- needs: batch_of, blob_of, due_in, lease_of, record_in, running
local indexes = { w = due, r = leased, c = completed, d = dead }
local places = { w = 'ready', r = 'running', c = 'completed', d = 'dead' }

-- A job of a batch; see `find`.
local function find_in_batch(id, batch, position)
  if not blob_of(batch) then return { id = id, place = 'unknown' } end
  local record, lease = record_in(batch.blob, position) .. batch.at, lease_of(batch, position)
  local job = { id = id, place = 'ready', record = record, s = '', at = '', batch = batch,
    position = position }
  if lease then
    job.place, job.at = 'running', decimal(lease.ends)
    local flags = 128 * lease.heard + 8 * (batch.kind % 16 - batch.kind % 4)
    job.s = running(lease.fence, 1, sub(record, 3, 9), flags, lease.worker)
  elseif batch.kind >= 16 then
    local first = call('ZSCORE', due, batch.kind % 4 .. batch.id)
    local at = due_in(batch.at, batch.blob, position)
    if first and at >= tonumber(first) then job.place, job.at = 'scheduled', decimal(at) end
  end
  return job
end

-- A job: its id, place, record, state or '', the time in ms that belongs to the place or '', and
-- its batch and position, or its index and member there. It is 'unknown' if it has no record, or if
-- it is completed and its time is over; it may have a state.
local function find(id)
  local batch, position = batch_of(id)
  if batch then return find_in_batch(id, batch, position) end
  local record, s = call('HGET', jobs, id), call('HGET', state, id)
  if not record then return { id = id, place = 'unknown', s = s or nil } end
  local status = s and sub(s, 1, 1) or 'w'
  local index, member = indexes[status], status == 'w' and byte(record, 3) .. id or id
  local at, place = call('ZSCORE', index, member), places[status]
  if place == 'completed' and tonumber(at or 0) <= now then place = 'unknown' end
  if place == 'ready' and at then place = 'scheduled' end
  return { id = id, place = place, record = record, s = s or '', index = index, member = member,
    at = at or place == 'ready' and '' or '0' }
end

-- A job, and when its lease ends that it has under this fence; nil if it has none.
local function held(id, fence)
  local job = find(id)
  local is_held = job.place == 'running' and sub(job.s, 2, 17) == fence
  return job, is_held and tonumber(job.at) > now and tonumber(job.at) or nil
end
