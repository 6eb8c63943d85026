-- Makes ready what is due and what is no longer leased.
-- needs: NO_FENCE, attempts_of, begin_moves, byte, call, char, contains, count, decimal, die
-- needs: due, due_in, extract, flush, forget, has_flag, jobs, last_error, leased, many, moved
-- needs: now, ones, read_batch, ready, running, settled, state, sub, unheard_of, unique_of
-- needs: unpack_bytes, wait_again

-- The jobs of a batch that have become due since `first`, in ms, are ready.
local function open_batch(member, first)
  local id, next_one, opened = sub(member, 2), nil, 0
  local batch, blob = read_batch(id), call('HGET', jobs, id)
  if not batch or not blob then
    call('HDEL', batch and state or jobs, id)
    return call('ZREM', due, member)
  end
  for position = 0, byte(blob) - 1 do
    local at = due_in(batch, blob, position)
    if at >= first and contains(batch.low, batch.high, position) then
      if at <= now then opened = opened + 1 else next_one = math.min(next_one or at, at) end
    end
  end
  if opened > 0 then call('RPUSH', ready(batch.kind % 4), id) end
  if next_one then
    call('ZADD', due, decimal(next_one), member)
  else
    call('ZREM', due, member)
  end
  count(0, -opened, 0)
end

-- Up to 256 entries whose time has come.
local function move_due()
  local members = call('ZRANGEBYSCORE', due, '-inf', decimal(now), 'WITHSCORES', 'LIMIT', 0, 256)
  local tails, singles = { [0] = {}, {}, {}, {} }, {}
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
  count(0, -#singles, 0)
end

-- A delivery that was not heard is no attempt, up to three times.
local function is_free(is_heard, unheard) return not is_heard and unheard < 3 end

local function end_single(id, s)
  if not s or sub(s, 1, 1) ~= 'r' then return end
  local attempts, unheard = attempts_of(s), unheard_of(s)
  moved.running = moved.running - 1
  if has_flag(s, 1) then
    forget(id, s, '')
  elseif is_free(has_flag(s, 128), unheard / 32) then
    local waiting = settled(s, 'w', NO_FENCE, attempts - 1, last_error(s))
    wait_again(id, sub(waiting, 1, 26) .. char(byte(waiting, 27) + 32) .. sub(waiting, 28), 0)
  elseif call('HEXISTS', jobs, id) == 0 then
    -- A script was interrupted while it removed the job.
    forget(id, s, '')
  elseif attempts >= unpack_bytes('>I2', s, 21) then
    die(id, s, NO_FENCE, 'lease ran out on the last attempt', '')
  else
    wait_again(id, settled(s, 'w', NO_FENCE, attempts, 'lease ran out'), 0)
  end
end

-- Returns how many jobs became single ones.
local function end_batch(id)
  local batch, blob, extracted = read_batch(id), nil, 0
  for _, lease in ipairs(batch and batch.leases or {}) do
    if lease.ends <= now then
      moved.running = moved.running - ones(lease.low) - ones(lease.high)
      if is_free(lease.heard == 1, math.floor(batch.kind / 4) % 4) then
        batch.is_unheard = true
        lease.low, lease.high = 0, 0
      else
        blob = blob or call('HGET', jobs, id)
        for position = 0, 63 do
          if contains(lease.low, lease.high, position) then
            extracted = extracted + 1
            extract(batch, blob, position, function(job, s)
              if unpack_bytes('>I2', s, 21) <= 1 then
                return die(job, s, NO_FENCE, 'lease ran out on the last attempt', '')
              end
              wait_again(job, settled(s, 'w', NO_FENCE, 1, 'lease ran out'), 0)
            end)
          end
        end
      end
    end
  end
  if batch and batch.is_unheard then
    batch.kind = batch.kind + 4
    table.insert(moved.tails[batch.kind % 4], id)
  end
  if batch then
    batch.is_changed = true
  else
    table.insert(moved.left, id)
    table.insert(moved.forgotten, id)
  end
  return extracted
end

-- Up to 256 entries whose lease has expired: jobs are ready again, dead after the last attempt, and
-- removed if their cancellation was requested.
local function end_leases(bounds)
  local ids = call('ZRANGEBYSCORE', leased, '-inf', decimal(now), 'LIMIT', 0, 256)
  local extracted, bytes = 0, 0
  for _, id in ipairs(ids) do
    if extracted >= 256 or bytes >= 2 ^ 24 then break end
    if byte(id) == 2 then
      extracted, bytes = extracted + end_batch(id), bytes + call('HSTRLEN', jobs, id)
    else
      end_single(id, call('HGET', state, id))
      table.insert(moved.left, id)
    end
  end
  flush(bounds)
end

-- Jobs that no worker has claimed in time are dead. `late`: their ids and records.
local function bury(late, bounds)
  -- What `end_leases` has collected is written already.
  begin_moves()
  for i = 1, #late, 2 do
    local id, record = late[i], late[i + 1]
    local s = running(NO_FENCE, 0, sub(record, 3, 9), byte(record, 2) % 4 > 0 and 2 or 0, '')
    die(id, s, NO_FENCE, 'deadline', unique_of(record) or '')
  end
  flush(bounds)
end
