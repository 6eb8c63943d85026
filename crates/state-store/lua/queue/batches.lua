-- Changes batches.
-- needs: LEASE, WORD, band, batches, contains, many, read_batch

local function common(one, other)
  local low, other_low = one % WORD, other % WORD
  return band(low, other_low) % WORD + band((one - low) / WORD, (other - other_low) / WORD) * WORD
end

local function job_id(batch_id, position)
  return '\1' .. sub(batch_id, 2, 16) .. char(byte(batch_id, 17) + position)
end

-- Takes positions out of a batch, leased or not.
local function leave(batch, positions)
  batch.is_changed = true
  batch.left = batch.left - common(batch.left, positions)
  for _, lease in ipairs(batch.leases) do
    lease.positions = lease.positions - common(lease.positions, positions)
  end
end

-- The text of a batch, and when its first lease ends.
local function batch_text(batch)
  local low, first = batch.left % WORD, nil
  local parts = { pack('>c6I4I4B', batch.at, low, (batch.left - low) / WORD, batch.kind) }
  for _, lease in ipairs(batch.leases) do
    if lease.positions > 0 then
      low = lease.positions % WORD
      parts[#parts + 1] = pack(LEASE, lease.fence, lease.ends, low, (lease.positions - low) / WORD,
        lease.heard, #lease.worker, lease.worker)
      first = math.min(first or lease.ends, lease.ends)
    end
  end
  return table.concat(parts), first
end

-- Writes the batches that have changed. Those without jobs are removed.
local function write_batches()
  local ends, texts, gone, free, never_due = {}, {}, {}, {}, {}
  for id, batch in pairs(batches) do
    if batch.is_changed and batch.left == 0 then
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
      if contains(batch.left, position) then
        local id = job_id(batch.id, position)
        if call('HEXISTS', jobs, id) == 1 then
          leave(batch, 2 ^ position)
        else
          call('HDEL', state, id)
        end
      end
    end
  end
  write_batches()
  call('HDEL', meta, 'moving')
end
