-- Fast path of a claim: nothing is due, no lease has expired, and no job is too late.
-- needs: answer_claim, is_plain, more_ready, next_due, next_end, own_claim, take_all, trim_lists
-- needs: was_tidied
if is_plain then more_ready = take_all(own_claim) end
if is_plain and not own_claim.late[1] and (own_claim.count > 0 or more_ready or was_tidied) then
  trim_lists(own_claim)
  return answer_claim(own_claim, more_ready, next_due, next_end)
end
