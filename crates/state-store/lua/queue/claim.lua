-- queue/claim: makes ready what is due, then leases the first ready jobs.
-- KEYS    those of keys.lua, 15 call (string)
-- ARGV    1 clock, 2 shape, 3 bounds of what is kept, 4 at most how many jobs, 5 lease in ms, 6
--         worker, 7 about how many bytes, 8 '' or the registration: token (8 bytes), reserve (2),
--         reserve of earlier registrations that hand-overs have not used, as far as the worker has
--         received them (2), n of these (1), their tokens, channel
-- Returns 'shape' and the recorded one, or 'crossed' (hand-overs have used more: it claims nothing
--         and ends the earlier registrations), or 'paused', or 'claimed', now in ms (rounded up),
--         the fence (16 digits), ms until something becomes due (-1: nothing will), n, then n times
--         packed id, record, or positions of a batch, their records; then for each job that was
--         claimed before its number from 0, its state before
-- Retry   by the caller, within the lease: returns the jobs of the first claim that are still
--         leased
-- Cost    20 commands, 3 per batch and 4 per 50 other jobs, O(n log r + bytes of the batches) with
--         r running; at most 256 due entries, 256 expired leases and 1,000 stale ids on top
-- needs: answer_claim, bury, end_leases, flush, give_back, is_left, is_plain, move_due, own_claim
-- needs: repair, take_all, tidy, trim_lists
local has_more = is_left
if not is_plain then
  if interrupted then repair(interrupted) end
  move_due()
  end_leases()
  if is_repeat then give_back(own_claim) end
  flush(ARGV[3])
  has_more = take_all(own_claim)
end
if own_claim.late[1] then
  bury(own_claim.late)
  flush(ARGV[3])
end
trim_lists(own_claim)
if own_claim.count == 0 and not has_more then tidy(ARGV[3]) end
return answer_claim(own_claim, has_more, first_score(due), first_score(leased))
