-- Reads a sorted set in pages.

-- The rank of the first entry behind a score and a member, found by halving. No score: the first whose time is not over yet
-- among the completed ones, else the first of all.
local function rank_behind(key, score, member)
  if not score then
    return key == completed and call('ZCOUNT', key, '-inf', decimal(now)) or 0
  end
  local low, high = 0, call('ZCARD', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = call('ZRANGE', key, middle, middle, 'WITHSCORES')
    local at = tonumber(entry[2])
    if at < tonumber(score) or at == tonumber(score) and not is_before(member, entry[1]) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- 50 entries from a rank on: ids, scores, members.
local function entries(key, from)
  local flat, ids, times, members = call('ZRANGE', key, from, from + 49, 'WITHSCORES'), {}, {}, {}
  for i = 1, #flat, 2 do
    local at = #ids + 1
    ids[at], times[at], members[at] = key == due and sub(flat[i], 2) or flat[i], flat[i + 1], flat[i]
  end
  return ids, times, members
end
