-- Fast path of an extension: jobs of batches that are held, and report no progress.
-- needs: now_up, read_singles, rest, visit_batches, write_batches
local last = now_up + ARGV[3]

-- The positions of a lease that are extended move to the lease under its fence that ends then.
local function prolong(batch, lease, positions)
  if lease.ends > last then return false end
  if lease.positions == positions then
    lease.ends = last
  elseif lease.ends < last then
    lease.positions = lease.positions - positions
    for _, other in ipairs(batch.leases) do
      if other.ends == last and other.fence == lease.fence then
        other.positions, other.heard = other.positions + positions, 1
        return true
      end
    end
    batch.leases[#batch.leases + 1] = { fence = lease.fence, ends = last, positions = positions,
      heard = 1, worker = lease.worker }
  end
  return true
end

local n_plain = read_singles(ARGV[5], visit_batches(ARGV[4], prolong))
if not rest.ids[1] and #ARGV == 5 then
  write_batches()
  return { 'extended', last }
end
