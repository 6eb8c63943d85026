-- Takes jobs off shelves: they stand alone again, as they were pushed.

-- Those of one shelf for which `is_wanted(time, id)`.
local function take_off(entry, is_wanted)
  local number = sub(entry, -5)
  local one = shelf_at(number)
  open[number] = nil
  local off, scores, own = { ids = {}, times = {}, members = {} }, {}, {}
  local heads, bodies, first, left = {}, {}, 1, 0
  for i = 1, one.n + 1 do
    local id = i <= one.n and id_at(one, i)
    if not id or is_wanted(due_at(one, i), id) then
      heads[#heads + 1], bodies[#bodies + 1] = part(one, first, i - 1)
      left, first = left + i - first, i + 1
    end
    if id and first > i then
      local last, member = #off.ids + 1, member_at(one, i)
      off.ids[last], off.times[last], off.members[last] = id, due_at(one, i), member
      scores[2 * last - 1], scores[2 * last] = decimal(due_at(one, i)), member
      own[2 * last - 1], own[2 * last] = id, record_at(one, i)
    end
  end
  local packed = left > 0 and pack('>I2', left) .. table.concat(heads) .. table.concat(bodies) or nil
  local change = { number = number, count = one.n, entry = entry, packed = packed }
  begin({ change })
  many('ZADD', due, scores)
  many('HSET', jobs, own)
  index(off, leave_out)
  if packed then
    call('HSET', shelves, number, packed)
  else
    call('HDEL', shelves, number)
  end
  finish({ change }, { ids = {}, members = {} })
end

-- Those of these jobs that stand on shelves.
local function stand_alone(ids)
  local wanted = {}
  for _, id in ipairs(ids) do
    local time, _, entry = shelved(id)
    if time then
      wanted[entry] = wanted[entry] or {}
      wanted[entry][id] = true
    end
  end
  for entry, own in pairs(wanted) do
    take_off(entry, function(_, id) return own[id] end)
  end
end
