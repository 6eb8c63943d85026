-- Finds what an earlier claim has leased.
-- needs: add, attempts_of, byte, call, common, count, deliver, first_of, jobs, last_error
-- needs: leased, now, ones, read_batch, ready, settled, state, sub, unpack_bytes, wake
-- needs: write_batches

-- Gives back the positions of a batch that do not fit, and delivers the others.
local function recall_batch(claim, head)
  local batch = read_batch('\2' .. sub(head, 2, 17))
  local blob = batch and call('HGET', jobs, batch.id)
  local low, high = unpack_bytes('>I4I4', head, 18)
  for _, lease in ipairs(blob and batch.leases or {}) do
    if lease.fence == claim.fence and lease.ends > now then
      local of_low, of_high = common(lease.low, low), common(lease.high, high)
      local kept_low, kept_high, n = first_of(blob, of_low, of_high, claim)
      local given_back = ones(of_low) + ones(of_high) - n
      lease.low, lease.high = lease.low - of_low + kept_low, lease.high - of_high + kept_high
      batch.is_changed = true
      if given_back > 0 then call('LPUSH', ready(batch.kind % 4), batch.id) end
      if n > 0 then deliver(claim, batch, blob, kept_low, kept_high, n) end
      claim.returned = claim.returned + given_back
    end
  end
end

local function recall_single(claim, id)
  local record, s = call('HGET', jobs, id), call('HGET', state, id)
  local ends = tonumber(call('ZSCORE', leased, id) or 0)
  if not record or not s or sub(s, 1, 17) ~= 'r' .. claim.fence or ends <= now then return end
  if claim.room > 0 then
    if attempts_of(s) > 1 or last_error(s) then
      add(claim.past, claim.count, settled(s, 'w', attempts_of(s) - 1, last_error(s)))
    end
    add(claim.items, id, record)
    claim.count, claim.room = claim.count + 1, claim.room - #record
  else
    call('LPUSH', ready(byte(s, 20)), id)
    call('HSET', state, id, settled(s, 'w', attempts_of(s) - 1, last_error(s)))
    call('ZREM', leased, id)
    claim.returned = claim.returned + 1
  end
end

-- Fills a claim with the jobs of an earlier one whose reply was lost. Returns whether it was found.
local function recall(claim)
  local entry, from = call('GET', KEYS[15]), 23
  if not entry or unpack_bytes('>I6', entry, 17) <= now then return false end
  claim.fence, claim.ends, claim.returned = sub(entry, 1, 16), unpack_bytes('>I6', entry, 17), 0
  while from < #entry do
    local head = sub(entry, from + 2, from + 1 + unpack_bytes('>I2', entry, from))
    local recall_one = (byte(head) == 2 or byte(head) == 3) and recall_batch or recall_single
    recall_one(claim, head)
    from = from + 2 + #head
  end
  write_batches()
  count('running', -claim.returned)
  if claim.returned > 0 then wake() end
  return true
end
