-- Leases what is ready in one list, and says how many of its elements were dealt with.
local function take(priority)
  local key, at = KEYS[3 + priority], 0
  while count < most and room > 0 and visits > 0 do
    local first = call('LINDEX', key, at)
    if not first then
      is_left = false
      break
    elseif byte(first) == 0 then
      visits = visits - 1
      is_left = not take_parcel(key, first) or count >= most and call('LLEN', key) > at + 1
      if divided or is_cut_short then break end
      at = at + 1
    else
      local want = math.min(most - count, 50)
      local elements, ids = call('LRANGE', key, at, at + want), {}
      for i = 1, math.min(#elements, want) do
        if byte(elements[i]) == 0 then break end
        ids[i] = elements[i]
      end
      -- Large records are read a few at a time: not many more than there is room for.
      if ids[9] and call('HSTRLEN', jobs, ids[1]) > 65536 then ids = { unpack(ids, 1, 8) } end
      local dealt = take_ids(ids)
      at = at + dealt
      is_left = dealt < #elements
    end
  end
  return at
end
