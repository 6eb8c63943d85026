-- Fast path of a claim: nothing is due, no lease has expired, and it needs only jobs of batches.
-- needs: answer_claim, is_plain, new_claim, next_due, next_end, next_fence, take, trim_lists
-- needs: was_tidied, write_claim
local own_claim = new_claim(next_fence(last_fence), ARGV[6], now_up + ARGV[5], tonumber(ARGV[4]),
  tonumber(ARGV[7]))
local is_more_ready = is_plain and take(own_claim)
-- If it found nothing, the queue may have to be tidied.
if is_plain and not own_claim.is_partial
  and (own_claim.count > 0 or is_more_ready or was_tidied) then
  write_claim(own_claim, n_running)
  trim_lists(own_claim)
  return answer_claim(own_claim, is_more_ready, next_due, next_end)
end
