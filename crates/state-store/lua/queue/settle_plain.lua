-- Fast path of a settlement: all jobs are just complete, held, and without a unique key.
-- needs: byte, call, common, count, first_score, forget_batches, is_repeat, jobs, leased, leave
-- needs: many, meta, now, ones, read_batch, state, sub, unpack_bytes, write_batches
local shape, interrupted = unpack(call('HMGET', meta, 'shape', 'moving'))
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local earlier = is_repeat and call('GET', KEYS[15])
if earlier then
  -- Written again: a server waits for the durability of the last write of a connection.
  call('SET', KEYS[15], earlier, 'PX', ARGV[3])
  return cmsgpack.unpack(earlier)
end

-- Completes positions of a batch. Returns how many, or nil if some are not held.
local function complete_batch(batch_id, fence, low, high)
  local batch, held_low, held_high = read_batch(batch_id), 0, 0
  for _, lease in ipairs(batch and batch.leases or {}) do
    if lease.fence == fence and lease.ends > now then
      held_low = held_low + common(lease.low, low)
      held_high, lease.heard = held_high + common(lease.high, high), 1
    end
  end
  if held_low ~= low or held_high ~= high then return nil end
  leave(batch, low, high)
  return ones(low) + ones(high)
end

-- The ids of the single jobs; nil if some are not held or have a unique key.
local function held_singles()
  local ids, fences, from = {}, {}, 1
  while from < #ARGV[6] do
    local size = unpack_bytes('>I2', ARGV[6], from + 16)
    fences[#ids + 1] = sub(ARGV[6], from, from + 15)
    ids[#ids + 1] = sub(ARGV[6], from + 18, from + 17 + size)
    from = from + 18 + size
  end
  if not ids[1] then return ids end
  if (first_score(leased) or 0) <= now then return nil end
  for i, s in ipairs(call('HMGET', state, unpack(ids))) do
    if not s or sub(s, 1, 17) ~= 'r' .. fences[i] or byte(s, 27) % 4 >= 2 then return nil end
  end
  return ids
end

local finished = #ARGV == 6 and not interrupted and held_singles()
local completed_jobs = finished and #finished
for at = 1, completed_jobs and #ARGV[5] or 0, 41 do
  local n = complete_batch(sub(ARGV[5], at, at + 16), sub(ARGV[5], at + 17, at + 32),
    unpack_bytes('>I4I4', ARGV[5], at + 33))
  completed_jobs = completed_jobs and n and completed_jobs + n
end
if completed_jobs then
  write_batches()
  many('HDEL', jobs, finished)
  many('HDEL', state, finished)
  many('ZREM', leased, finished)
  count(-completed_jobs, 0, -completed_jobs)
  call('SET', KEYS[15], '\145\167settled', 'PX', ARGV[3])
  return { 'settled' }
end
forget_batches()
