-- Fast path of a settlement that names jobs of batches.
-- needs: complete_plain, leave, n_single, ones, read_singles, repair, visit_batches, write_batches
if interrupted then repair(interrupted) end
local n_settled = 0

local function complete(batch, _, positions)
  n_settled = n_settled + ones(positions)
  leave(batch, positions)
  return true
end

local n_named = n_single or read_singles(ARGV[6], visit_batches(ARGV[5], complete))
if not n_single and complete_plain(n_settled, write_batches) then return 'settled' end
