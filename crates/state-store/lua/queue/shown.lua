-- What a page of a listing shows, and where it begins.
local place, limit, room = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local reply, found, pages = { 'listed', '', '' }, 0, 0
local places = {
  scheduled = { key = due, status = 'w' }, running = { key = leased, status = 'r' },
  completed = { key = completed, status = 'c' }, dead = { key = dead, status = 'd' },
}
-- The element that was seen last, and, if it is a parcel, the job in it and how many came behind.
local last_seen, last_inside, behind = ARGV[6], nil, 0
if last_seen and byte(last_seen) == 0 and #last_seen > 14 then
  last_seen, behind, last_inside = sub(last_seen, 1, 12), unpack_bytes('>I2', last_seen, 13), sub(last_seen, 15)
end

local function add(id, record, s, at)
  local last = #reply
  found = found + 1
  reply[last + 1], reply[last + 2] = id, sub(record, 1, 9) .. sub(record, -6)
  reply[last + 3], reply[last + 4] = s and sub(s, 1, 30 + byte(s, 28) + #(last_error(s) or '')) or '', at
end

-- Adds one job, if record and state say that it is in this place.
local function show(id, at, record, s)
  if not record then return end
  local status = s and sub(s, 1, 1) or 'w'
  room = room - #record - #(s or '')
  if status ~= (places[place] or places.scheduled).status or place == 'ready' and is_due(id, record, s) then return end
  add(id, record, s, at)
end

-- Adds the jobs of a parcel, behind the one that was seen last. Whether there was room for all.
local function show_parcel(ref, at, mark)
  local lease, parcel = parcel_lease(ref), call('HGET', parcels, ref)
  if not parcel or (place == 'running') ~= (lease ~= false) then return true end
  local ids, records = contents(ref, parcel)
  local inside, first = refs_of(ids), 1
  if ref == last_seen and last_inside then
    -- Where that one has left, too, as many are to come as came behind it, if none of these has left.
    first = math.max(#ids - behind, 0) + 1
    for i, id in ipairs(ids) do
      if id == last_inside then first = i + 1 end
    end
  end
  for i = first, #ids do
    if found == limit or room <= 0 then return false end
    if inside[i] == ref then
      room = room - #records[i]
      add(ids[i], records[i], lease and state_under(lease, records[i], 0), at)
      reply[2], reply[3] = mark, ref .. pack('>I2', #ids - i) .. ids[i]
    end
  end
  return true
end
