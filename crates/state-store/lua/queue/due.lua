-- Makes ready what is due and what is no longer leased.
-- needs: NO_FENCE, add_flag, attempts_of, by_priority, byte, call, collect_unique, contains, count
-- needs: decimal, die, due, due_in, extract, fail, flush, has_flag, jobs, keep_finished, last_error
-- needs: leased, many, meta, moved, now, ones, read_batch, ready, running, state, sub, unheard_of
-- needs: unpack_bytes, wait_again, with_flag

-- The jobs of a batch that have become due since `first`, in ms, are ready.
local function open_batch(member, first)
  local id, next_one, opened = sub(member, 2), math.huge, 0
  local batch, blob = read_batch(id), call('HGET', jobs, id)
  if not batch or not blob then
    call('HDEL', batch and state or jobs, id)
    return call('ZREM', due, member)
  end
  for position = 0, byte(blob) - 1 do
    local at = due_in(batch, blob, position)
    if at >= first and contains(batch.low, batch.high, position) then
      if at <= now then opened = opened + 1 else next_one = math.min(next_one, at) end
    end
  end
  if opened > 0 then call('RPUSH', ready(batch.kind % 4), id) end
  if next_one < math.huge then
    call('ZADD', due, decimal(next_one), member)
  else
    call('ZREM', due, member)
  end
  count('scheduled', -opened)
end

-- Up to 256 entries whose time has come.
local function move_due()
  local members = call('ZRANGEBYSCORE', due, '-inf', decimal(now), 'WITHSCORES', 'LIMIT', 0, 256)
  local tails, singles = by_priority(), {}
  for i = 1, #members, 2 do
    local member = members[i]
    if byte(member, 2) == 2 then
      open_batch(member, tonumber(members[i + 1]))
    else
      table.insert(tails[byte(member) - 48], sub(member, 2))
      singles[#singles + 1] = member
    end
  end
  for priority = 0, 3 do many('RPUSH', ready(priority), tails[priority]) end
  many('ZREM', due, singles)
  count('scheduled', -#singles)
end

-- A delivery that was not heard is no attempt, up to three times.
local function is_free(is_heard, unheard) return not is_heard and unheard < 3 end

-- The lease of a job has expired.
local function expire(id, s)
  local attempts = attempts_of(s)
  moved.counts.running = moved.counts.running - 1
  s = 'r' .. NO_FENCE .. sub(s, 18)
  if is_free(has_flag(s, 128), unheard_of(s) / 32) then
    return wait_again(id, add_flag(s, 32), 0, attempts - 1, last_error(s))
  end
  local is_last = attempts >= unpack_bytes('>I2', s, 21)
  fail(id, s, 0, is_last and 'lease ran out on the last attempt' or 'lease ran out')
end

-- Returns how many jobs became single ones.
local function end_batch(batch)
  local extracted, is_unheard = 0, false
  for _, lease in ipairs(batch.leases) do
    if lease.ends <= now and is_free(lease.heard == 1, math.floor(batch.kind / 4) % 4) then
      is_unheard = true
      moved.counts.running = moved.counts.running - ones(lease.low) - ones(lease.high)
      lease.low, lease.high = 0, 0
    elseif lease.ends <= now then
      for position = 0, 63 do
        if contains(lease.low, lease.high, position) then
          local id, s = extract(batch, position)
          expire(id, with_flag(s, 128))
          extracted = extracted + 1
        end
      end
    end
  end
  if is_unheard then
    batch.kind = batch.kind + 4
    table.insert(moved.tails[batch.kind % 4], batch.id)
  end
  batch.is_changed = true
  return extracted
end

-- Up to 256 entries whose lease has expired: jobs are ready again, dead after the last attempt, and
-- removed if their cancellation was requested.
local function end_leases(bounds)
  local extracted, bytes = 0, 0
  for _, id in ipairs(call('ZRANGEBYSCORE', leased, '-inf', decimal(now), 'LIMIT', 0, 256)) do
    if extracted >= 256 or bytes >= 2 ^ 24 then break end
    local batch, s = byte(id) == 2 and read_batch(id), call('HGET', state, id)
    if batch then
      extracted, bytes = extracted + end_batch(batch), bytes + call('HSTRLEN', jobs, id)
    else
      table.insert(moved.left[leased], id)
      if byte(id) == 2 then table.insert(moved.forgotten, id) end
    end
    if s and not batch and sub(s, 1, 1) == 'r' then
      -- A script may have been interrupted while it removed the job.
      expire(id, call('HEXISTS', jobs, id) == 1 and s or with_flag(s, 1))
    end
  end
  flush(bounds)
end

-- Jobs that no worker has claimed in time are dead. `late`: their ids and records.
local function bury(late, bounds)
  for i = 1, #late, 2 do
    local id, record = late[i], late[i + 1]
    local flags = byte(record, 2) % 4 > 0 and 2 or 0
    die(id, running(NO_FENCE, 0, sub(record, 3, 9), flags, ''), 'deadline')
  end
  flush(bounds)
end

-- Cleans up while the queue is idle.
local function tidy(bounds)
  -- An interrupted script may have left the counters wrong.
  if call('EXISTS', due, leased, ready(0), ready(1), ready(2), ready(3)) == 0 then
    call('HDEL', meta, 'alive', 'scheduled', 'running')
  end
  call('HSET', meta, 'tidied', decimal(now))
  collect_unique(32)
  keep_finished(bounds, {}, {})
end
