-- Puts lone jobs that are due far ahead onto shelves. A shelf ends before the next one begins: what is shelved stays in the order
-- of `due`. ARGV's last: 4 bytes from how many lone jobs on any is shelved, 4 bytes how far ahead jobs are shelved, in ms, 4 bytes how
-- large a shelf becomes before it is parted, 4 bytes how large one begins, 2 bytes how many lone jobs are looked at around one, 2
-- bytes around each how-many-th is looked, 2 bytes by which share of itself a shelf grows at least.
local LARGEST = 1100
local ahead, most, least, window, every, share

-- The largest of the allocator's sizes up to so many bytes, or the smallest from there on, without what the server adds.
local function fitting_size(bytes, is_up)
  local step = 16
  while step * 8 <= (is_up and bytes - 1 or bytes) do step = step * 2 end
  return bytes - bytes % step + (is_up and bytes % step > 0 and step or 0) - 10
end

-- The shelf behind whose beginning a job belongs: its entry and when it begins, those of the next one, and between which times
-- lone jobs belong between the two.
local function place_of(at, member)
  local rank = summary and rank_on_shelves(decimal(at), member) or 0
  local around = summary and call('ZRANGE', shelves_due, math.max(rank - 1, 0), rank, 'WITHSCORES') or {}
  if rank == 0 then around = { false, false, unpack(around, 1, 2) } end
  return { entry = around[1], begins = around[2], next_entry = around[3], next_begins = around[4],
    from = decimal(math.max(tonumber(around[2] or at), now + ahead)), to = around[4] or '+inf' }
end

-- The first entries there of `due`: members and times. Many jobs may be due in one ms, and some belong before this shelf.
local function window_at(place)
  local found = call('ZRANGEBYSCORE', due, place.from, place.to, 'WITHSCORES', 'LIMIT', 0, window)
  local begins = place.entry and sub(place.entry, 1, -6)
  if #found == 0 or found[2] ~= place.begins or not is_before(found[1], begins) then return found end
  local low, high = call('ZCOUNT', due, '-inf', '(' .. place.begins), call('ZCOUNT', due, '-inf', place.begins)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before(call('ZRANGE', due, middle, middle)[1], begins) then low = middle + 1 else high = middle end
  end
  found = call('ZRANGE', due, low, low + window - 1, 'WITHSCORES')
  while #found > 0 and tonumber(found[#found]) > tonumber(place.to) do found[#found], found[#found - 1] = nil, nil end
  return found
end

-- The lone jobs there that can be shelved, in order.
local function lone_at(place)
  local found = window_at(place)
  local lone, ids, bytes = { ids = {}, times = {}, members = {}, heads = {}, bodies = {}, sums = { [0] = 0 } }, {}, 0
  lone.is_full = #found == 2 * window
  for i = 1, #found, 2 do
    -- Where few can be shelved it is not worth it.
    if i > window / 2 and #ids < i / 8 then
      lone.is_full = false
      break
    end
    -- What is large does not gain from company, and is not read.
    if call('HSTRLEN', jobs, sub(found[i], 2)) <= LARGEST then
      local at = #ids + 1
      ids[at], found[2 * at - 1], found[2 * at] = sub(found[i], 2), found[i], found[i + 1]
    end
  end
  if #ids == 0 then return lone end
  local records, states = call('HMGET', jobs, unpack(ids)), call('HMGET', state, unpack(ids))
  for i, id in ipairs(ids) do
    local member, time, record = found[2 * i - 1], found[2 * i], records[i]
    local is_outside = time == place.begins and is_before(member, sub(place.entry, 1, -6))
      or time == place.next_begins and not is_before(member, sub(place.next_entry, 1, -6))
    -- An entry that record and state do not confirm means nothing.
    if record and not states[i] and not is_outside and byte(record, 2) % 16 >= 8
      and byte(member) == 48 + byte(record, 3) then
      local last, body = #lone.ids + 1, id .. record
      bytes = bytes + 10 + #body
      lone.ids[last], lone.times[last], lone.members[last] = id, tonumber(time), member
      lone.heads[last], lone.bodies[last], lone.sums[last] = pack('>I6I2I2', lone.times[last], #id, #body), body, bytes
    end
  end
  return lone
end
