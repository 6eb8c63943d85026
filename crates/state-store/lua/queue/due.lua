-- Makes ready what is due and what is no longer leased.
-- needs: NO_FENCE, add_flag, attempts_of, collect_unique, contains, die, due_in, extract, fail
-- needs: find, find_in_batch, forget, has_flag, job_id, keep_finished, move_count, moved, ones
-- needs: put_back, read_batch, running, unheard_of

-- The jobs of a batch that have become due since `first`, in ms, are ready.
local function open_batch(member, first)
  local id, next_one = sub(member, 2), nil
  local batch, blob = read_batch(id), call('HGET', jobs, id)
  for position = 0, batch and blob and byte(blob) - 1 or -1 do
    local at = due_in(batch.at, blob, position)
    if at >= first and contains(batch.left, position) then
      if at <= now then move_count('scheduled', -1) else next_one = math.min(next_one or at, at) end
    end
  end
  if next_one then
    add(moved.entered[due], decimal(next_one), member)
  else
    table.insert(moved.left[due], member)
  end
  -- A script may have been interrupted while it added or removed the batch.
  table.insert(batch and blob and moved.tails[batch.kind % 4] or moved.forgotten, id)
end

-- Up to 256 entries whose time has come.
local function move_due()
  local members = call('ZRANGEBYSCORE', due, '-inf', decimal(now), 'WITHSCORES', 'LIMIT', 0, 256)
  for i = 1, #members, 2 do
    local member = members[i]
    if byte(member, 2) == 2 then
      open_batch(member, tonumber(members[i + 1]))
    else
      table.insert(moved.tails[byte(member) - 48], sub(member, 2))
      table.insert(moved.left[due], member)
      move_count('scheduled', -1)
    end
  end
end

-- The lease of a job has expired. A delivery that was not heard is no attempt, up to three times.
local function expire(job)
  extract(job)
  job.s = 'r' .. NO_FENCE .. sub(job.s, 18)
  if not has_flag(job.s, 128) and unheard_of(job.s) < 96 then
    job.s = add_flag(job.s, 32)
    return put_back(job, 0)
  end
  local is_last = attempts_of(job.s) >= unpack_bytes('>I2', job.s, 21)
  fail(job, 0, is_last and 'lease ran out on the last attempt' or 'lease ran out')
end

-- Returns how many jobs became single ones. A batch counts unheard deliveries for all its jobs: if
-- only some of them were not heard, these become single ones, each with its count.
local function end_batch(batch)
  local unheard, extracted = 0, 0
  for _, lease in ipairs(batch.leases) do
    if lease.ends <= now and lease.heard == 0 then unheard = unheard + lease.positions end
  end
  batch.is_changed = true
  if unheard == batch.left and batch.kind % 16 < 12 then
    move_count('running', -ones(unheard))
    batch.kind, batch.leases = batch.kind + 4, {}
    table.insert(moved.tails[batch.kind % 4], batch.id)
    return 0
  end
  for _, lease in ipairs(batch.leases) do
    for position = 0, lease.ends <= now and 63 or -1 do
      if contains(lease.positions, position) then
        expire(find_in_batch(job_id(batch.id, position), batch, position))
        extracted = extracted + 1
      end
    end
  end
  return extracted
end

-- Up to 256 entries whose lease has expired: jobs are ready again, dead after the last attempt, and
-- removed if their cancellation was requested. What an interrupted script has left is removed.
local function end_leases()
  local extracted, bytes = 0, 0
  for _, id in ipairs(call('ZRANGEBYSCORE', leased, '-inf', decimal(now), 'LIMIT', 0, 256)) do
    if extracted >= 256 or bytes >= 2 ^ 24 then break end
    local batch, job = byte(id) == 2 and read_batch(id), byte(id) ~= 2 and find(id)
    if batch then
      extracted, bytes = extracted + end_batch(batch), bytes + call('HSTRLEN', jobs, id)
    elseif job and job.place == 'running' then
      expire(job)
    else
      table.insert(moved.left[leased], id)
      if job and job.s and sub(job.s, 1, 1) == 'r' then
        move_count('running', -1)
        forget(job)
      elseif not job then
        table.insert(moved.forgotten, id)
      end
    end
  end
end

-- Jobs that no worker has claimed in time are dead. `late`: their ids and records.
local function bury(late)
  for i = 1, #late, 2 do
    local s = running(NO_FENCE, 0, sub(late[i + 1], 3, 9), 0, '')
    die({ id = late[i], record = late[i + 1], s = s }, 'deadline')
  end
end

-- Cleans up while the queue is idle.
local function tidy(bounds)
  -- An interrupted script may have left the counters wrong.
  if call('EXISTS', due, leased, ready(0), ready(1), ready(2), ready(3)) == 0 then
    call('HDEL', meta, 'alive', 'scheduled', 'running')
  end
  call('HSET', meta, 'tidied', decimal(now))
  local found = call('HRANDFIELD', waiters, 32, 'WITHVALUES')
  for i = 1, #found, 2 do
    if unpack_bytes('>I6', found[i + 1]) <= now then call('HDEL', waiters, found[i]) end
  end
  collect_unique(32)
  keep_finished(bounds, 0, 0)
end
