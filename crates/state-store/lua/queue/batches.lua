-- Changes batches.
-- needs: add, batches, bit_of, call, contains, decimal, due, job_id, jobs, leased, many, meta
-- needs: pack, read_batch, state, sub, without

-- Takes positions out of a batch, leased or not.
local function leave(batch, low, high)
  batch.is_changed = true
  batch.low, batch.high = without(batch.low, low), without(batch.high, high)
  for _, lease in ipairs(batch.leases) do
    lease.low, lease.high = without(lease.low, low), without(lease.high, high)
  end
end

-- The text of a batch, and when its first lease ends.
local function batch_text(batch)
  local parts, first = { batch.at, pack('>I4I4B', batch.low, batch.high, batch.kind) }, nil
  for _, lease in ipairs(batch.leases) do
    if lease.low + lease.high > 0 then
      parts[#parts + 1] = lease.fence .. pack('>I6I4I4BB', lease.ends, lease.low, lease.high,
        lease.heard, #lease.worker) .. lease.worker
      first = math.min(first or lease.ends, lease.ends)
    end
  end
  return table.concat(parts), first
end

-- Writes the batches that have changed. Those without jobs are removed.
local function write_batches()
  local ends, texts, gone, free, never_due = {}, {}, {}, {}, {}
  for id, batch in pairs(batches) do
    if batch.is_changed and batch.low + batch.high == 0 then
      gone[#gone + 1], free[#free + 1] = id, id
      if batch.kind >= 16 then never_due[#never_due + 1] = batch.kind % 4 .. id end
    elseif batch.is_changed then
      local text, first = batch_text(batch)
      add(texts, id, text)
      if first then add(ends, decimal(first), id) else free[#free + 1] = id end
    end
    batch.is_changed = false
  end
  many('ZADD', leased, ends)
  many('HSET', state, texts)
  -- A batch that has a lease has its records: they go last.
  many('HDEL', state, gone)
  many('HDEL', jobs, gone)
  many('ZREM', leased, free)
  many('ZREM', due, never_due)
end

-- Completes what an interrupted script began: jobs that it made single leave their batches.
local function repair(moving)
  for from = 1, #moving, 17 do
    local batch = read_batch(sub(moving, from, from + 16))
    for position = 0, batch and 63 or -1 do
      if contains(batch.low, batch.high, position) then
        local id = job_id(batch.id, position)
        if call('HEXISTS', jobs, id) == 1 then
          leave(batch, bit_of(position))
        else
          call('HDEL', state, id)
        end
      end
    end
  end
  write_batches()
  call('HDEL', meta, 'moving')
end
