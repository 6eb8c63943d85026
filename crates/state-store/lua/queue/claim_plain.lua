-- Fast path of a claim: nothing is due, no lease has expired, and the queue was tidied recently.
-- needs: answer_claim, is_plain, more_ready, new_claim, new_fence, next_due, next_end, now_up, take
-- needs: trim_lists, was_tidied
local most_jobs, most_room = tonumber(ARGV[4]), tonumber(ARGV[7])
local own_claim = new_claim(new_fence, ARGV[6], now_up + ARGV[5], most_jobs, most_room)
if is_plain then
  more_ready = take(own_claim)
  if (own_claim.count > 0 or more_ready or was_tidied) and #own_claim.late == 0 then
    trim_lists(own_claim)
    return answer_claim(own_claim, more_ready, next_due, next_end)
  end
end
