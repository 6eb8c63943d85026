-- Gives back what an earlier copy of a claim has leased, for the claim to lease it again.
-- needs: extract, held, move_count, moved, ones, put_back, read_batch

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
  local entry, from, ids, before = call('GET', KEYS[15]), 23, {}, moved.counts.running or 0
  local ends = entry and unpack_bytes('>I6', entry, 17) or 0
  if ends <= now then return end
  claim.fence, claim.ends, claim.is_again = sub(entry, 1, 16), ends, true
  while from <= #entry do
    local id, after = unpack_bytes('>I2c0', entry, from)
    -- Backwards: each one goes to the head of its list.
    table.insert(ids, 1, id)
    from = after
  end
  for _, id in ipairs(ids) do
    if byte(id) == 2 or byte(id) == 3 then
      give_back_batch(read_batch('\2' .. sub(id, 2, 17)), claim.fence)
    else
      local job, is_held = held(id, claim.fence)
      if is_held then
        extract(job)
        put_back(job, -1)
      end
    end
  end
  claim.most = math.min(claim.most, before - (moved.counts.running or 0))
end
