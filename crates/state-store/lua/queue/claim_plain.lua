-- Fast path of a claim: nothing is due, no lease has expired, and no job is too late.
-- needs: answer_claim, is_plain, next_due, next_end, own_claim, take_all, trim_lists, was_tidied
local is_left = is_plain and take_all(own_claim)
if is_plain and not own_claim.late[1] and (own_claim.count > 0 or is_left or was_tidied) then
  trim_lists(own_claim)
  return answer_claim(own_claim, is_left, next_due, next_end)
end
