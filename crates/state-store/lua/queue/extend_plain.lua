-- Fast path of an extension: jobs of batches that are held and report no progress.
-- needs: call, common, forget_batches, meta, now, now_up, read_batch, sub, unpack_bytes
-- needs: write_batches
local shape, interrupted = unpack(call('HMGET', meta, 'shape', 'moving'))
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local last = now_up + ARGV[3]

-- The positions of a lease that are extended have a lease of their own from now on.
local function divide(batch, lease, low, high)
  lease.low, lease.high = lease.low - low, lease.high - high
  if lease.low + lease.high == 0 then
    lease.low, lease.high, lease.ends, lease.heard = low, high, last, 1
    return
  end
  lease.heard = 1
  batch.leases[#batch.leases + 1] = { fence = lease.fence, ends = last, low = low, high = high, heard = 1,
    worker = lease.worker }
end

-- Returns the positions that are not held, and the end of the longest lease.
local function extend_batch(batch_id, fence, low, high)
  local batch, longest = read_batch(batch_id), last
  for _, lease in ipairs(batch and { unpack(batch.leases) } or {}) do
    local of_low, of_high = common(lease.low, low), common(lease.high, high)
    if lease.fence == fence and lease.ends > now and of_low + of_high > 0 then
      longest = math.max(longest, lease.ends)
      if lease.ends < last then divide(batch, lease, of_low, of_high) end
      lease.heard, batch.is_changed = 1, true
      low, high = low - of_low, high - of_high
    end
  end
  return low, high, longest
end

local is_plain = #ARGV == 5 and ARGV[5] == '' and not interrupted
for at = 1, is_plain and #ARGV[4] or 0, 41 do
  local batch_id, fence = sub(ARGV[4], at, at + 16), sub(ARGV[4], at + 17, at + 32)
  local low, high, longest = extend_batch(batch_id, fence, unpack_bytes('>I4I4', ARGV[4], at + 33))
  is_plain = is_plain and low + high == 0 and longest == last
end
if is_plain then
  write_batches()
  return { 'extended', last }
end
forget_batches()
