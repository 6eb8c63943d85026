-- Fast path of an extension: jobs of batches that are held, and report no progress.
-- needs: read_singles, repair, rest, visit_batches, write_batches
if interrupted then repair(interrupted) end
local until_at_least = now_up + ARGV[3]

-- The positions that are extended move to the lease under their fence that ends then.
local function prolong(batch, lease, positions)
  if lease.ends >= until_at_least then return lease.ends == until_at_least end
  lease.positions = lease.positions - positions
  for _, other in ipairs(batch.leases) do
    if other.ends == until_at_least and other.fence == lease.fence then
      other.positions, other.heard = other.positions + positions, 1
      return true
    end
  end
  batch.leases[#batch.leases + 1] = { fence = lease.fence, ends = until_at_least,
    positions = positions, heard = 1, worker = lease.worker }
  return true
end

local n_named = read_singles(ARGV[5], visit_batches(ARGV[4], prolong))
if not rest[1] and #ARGV == 5 then
  write_batches()
  return until_at_least
end
