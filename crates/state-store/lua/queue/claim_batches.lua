-- Fast path of a claim: nothing is due, no lease has expired, and it needs only jobs of batches.
-- needs: answer_claim, fields, is_plain, last_fence, micros, more_ready, n_lists, new_claim
-- needs: next_due, next_end, now_up, take, trim_lists, was_tidied, write_claim
local new_fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))
local own_claim
  = new_claim(new_fence, ARGV[6], now_up + ARGV[5], tonumber(ARGV[4]), tonumber(ARGV[7]))

if is_plain then more_ready = take(own_claim, nil, n_lists) end
-- If it found nothing, the queue may have to be tidied.
if is_plain and not own_claim.is_partial and (own_claim.count > 0 or more_ready or was_tidied) then
  write_claim(own_claim, fields[6])
  trim_lists(own_claim)
  return answer_claim(own_claim, more_ready, next_due, next_end)
end
