-- Fast path of a claim: nothing is due, no lease has expired, and the queue was tidied recently.
-- needs: answer_claim, call, due, first_score, is_repeat, leased, meta, micros, new_claim, now
-- needs: now_up, register, take, trim_lists
local fields = call('HMGET', meta, 'shape', 'moving', 'paused', 'fence', 'tidied')
local interrupted, last_fence = fields[2], fields[4]
if fields[1] and fields[1] ~= ARGV[2] then return { 'shape', fields[1] } end
if fields[3] then
  register(tonumber(ARGV[4]))
  return { 'paused' }
end
local next_due, next_end, is_left = first_score(due), first_score(leased), false
local is_plain = not interrupted and not is_repeat and (not next_due or next_due > now)
  and (not next_end or next_end > now)
local new_fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))
local own_claim = new_claim(new_fence, ARGV[6], now_up + ARGV[5], tonumber(ARGV[4]),
  tonumber(ARGV[7]))
if is_plain then
  is_left = take(own_claim)
  local is_tidy = own_claim.count > 0 or is_left or (tonumber(fields[5]) or 0) + 1000 > now
  if is_tidy and #own_claim.late == 0 then
    trim_lists(own_claim)
    return answer_claim(own_claim, is_left, next_due, next_end)
  end
end
