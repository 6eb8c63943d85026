-- Gives back what an earlier copy of a claim has leased, for the claim to lease it again.
-- needs: attempts_of, byte, call, extract, held, last_error, move_count, moved, now, ones
-- needs: read_batch, sub, unpack_bytes, wait_again

local function give_back_batch(batch, fence)
  for _, lease in ipairs(batch and batch.leases or {}) do
    if lease.fence == fence and lease.ends > now and lease.positions > 0 then
      move_count('running', -ones(lease.positions))
      table.insert(moved.heads[batch.kind % 4], batch.id)
      lease.positions, batch.is_changed = 0, true
    end
  end
end

-- The claim gets the fence and the end of the earlier one, if that is remembered and lasts, and no
-- more jobs than it gives back.
local function give_back(claim)
  local entry, from, ids, before = call('GET', KEYS[15]), 23, {}, moved.counts.running
  local ends = entry and unpack_bytes('>I6', entry, 17) or 0
  if ends <= now then return end
  claim.fence, claim.ends, claim.is_again = sub(entry, 1, 16), ends, true
  while from < #entry do
    local size = unpack_bytes('>I2', entry, from)
    -- Backwards: each one goes to the head of its list.
    table.insert(ids, 1, sub(entry, from + 2, from + 1 + size))
    from = from + 2 + size
  end
  for _, id in ipairs(ids) do
    if byte(id) == 2 or byte(id) == 3 then
      give_back_batch(read_batch('\2' .. sub(id, 2, 17)), claim.fence)
    else
      local job, is_held = held(id, claim.fence)
      if is_held then
        extract(job)
        wait_again(job, -1, attempts_of(job.s) - 1, last_error(job.s))
      end
    end
  end
  claim.most = math.min(claim.most, before - moved.counts.running)
end
