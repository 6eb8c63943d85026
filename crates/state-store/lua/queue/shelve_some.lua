-- When lone jobs are put on shelves: when they fill a new one, or an old one up to the next size that the allocator has.

-- Looks around a job. `size`: its bytes, for a guess how many its neighbours have.
local function shelve_around(at, member, size)
  local place = place_of(at, member)
  local count, number = call('ZCOUNT', due, place.from, place.to), place.entry and sub(place.entry, -5)
  local held = number and call('HSTRLEN', shelves, number) or 0
  local goal = fitting_size(math.floor(held + held / share) + 10, true)
  local is_to_part = goal + 10 >= most
  local room = is_to_part and math.max(most - 30 - size - held, 4 * size) or goal - held
  if count < 2 or count < window and count * size < (place.next_entry and number and room or least) then return end
  local lone = lone_at(place)
  local n, behind = #lone.ids, 1
  local packed = number and call('HGET', shelves, number)
  local one = packed and opened(packed)
  -- All its numbers together have to fit Lua's stack.
  is_to_part = is_to_part or one and one.n > 1500
  while one and behind <= n and is_earlier(lone, behind, one, one.n) do behind = behind + 1 end
  local bytes = (lone.sums[n] or 0) - lone.sums[behind - 1]
  if n < 2 then
    return
  elseif bytes >= least or lone.is_full and behind == 1 and (not one or held >= least) then
    local last = last_fitting(lone, behind, math.min(fitting_size(bytes + 12), most - 10) - 2)
    if last <= behind then return end
    local content = pack('>I2', last - behind + 1) .. table.concat(lone.heads, '', behind, last)
      .. table.concat(lone.bodies, '', behind, last)
    put(nil, 0, { content }, lone, behind, last)
  elseif one and (behind > 1 or held < least) and (lone.is_full or lone.sums[n] >= room) then
    local last = lone.is_full and not is_to_part and n or last_fitting(lone, 1, room)
    if last == 0 then return end
    local content = merged(one, lone, last)
    put(place.entry, one.n, is_to_part and parted(content, most / 2 - 10) or { content }, lone, 1, last)
  end
end

-- Looks around some of the jobs that were just added: scores and members.
local function shelve_some(added)
  local crowd
  crowd, ahead, most, least, window, every, share = unpack_bytes('>I4I4I4I4I2I2I2', ARGV[#ARGV])
  if call('ZCARD', due) < crowd then return end
  for at = 1, #added, 2 * every do
    local time, member = tonumber(added[at]), added[at + 1]
    local size = #accepted[sub(member, 2)]
    if time > now + ahead and size <= LARGEST then shelve_around(time, member, size + #member + 9) end
  end
end
