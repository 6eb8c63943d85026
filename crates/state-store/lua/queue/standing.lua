-- Which of these stand among the due ones. Only who has waited or was delayed can; others are not looked up.
local function standing_due(ids, records, states)
  local members, positions, found = {}, {}, {}
  for i, id in ipairs(ids) do
    local record, s = records[i], states[i]
    if record and (s and byte(s) == 119 or not s and byte(record, 2) % 16 >= 8) then
      members[#members + 1] = byte(record, 3) .. id
      positions[#positions + 1] = i
    end
  end
  if #members > 0 then
    for j, score in ipairs(call('ZMSCORE', due, unpack(members))) do found[positions[j]] = score end
  end
  return found
end
