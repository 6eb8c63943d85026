-- The jobs of batches that a worker names as those it holds.
-- needs: common, contains, job_id, ones, read_batch, read_positions, rest

-- `text` has for each batch its id (17 bytes), a fence (16 digits) and positions (8 bytes). `visit`
-- gets a batch, a lease, and the positions that are held under it; it returns whether it dealt with
-- them. Returns how many jobs are named.
local function visit_batches(text, visit)
  local number = 0
  for at = 1, #text, 41 do
    local id, fence = sub(text, at, at + 16), sub(text, at + 17, at + 32)
    local batch, named = read_batch(id), read_positions(text, at + 33)
    local left = named
    for i = 1, batch and #batch.leases or 0 do
      local lease = batch.leases[i]
      local found = common(lease.positions, left)
      if lease.fence == fence and lease.ends > now and found > 0 then
        lease.heard, batch.is_changed = 1, true
        if visit(batch, lease, found) then left = left - found end
      end
    end
    for position = 0, left > 0 and 63 or -1 do
      if contains(left, position) then
        rest[#rest + 1] = { id = job_id(id, position), fence = fence,
          number = number + ones(named % 2 ^ position) }
      end
    end
    number = number + ones(named)
  end
  return number
end
