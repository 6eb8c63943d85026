-- Changes shelves. While it does, `meta` says which ones, and what they were: the next script carries on what was cut.
local NOTHING = string.rep('\0', 12)


-- A part of a shelf: the numbers and the ids and records of the jobs from one to another one.
local function part(one, first, last)
  return sub(one.packed, 10 * first - 7, 10 * last + 2), sub(one.packed, one.at[first], one.at[last + 1] - 1)
end

-- How many jobs stand on a packed shelf, when the first is due, and the member that it would have in `due`.
local function first_on(packed)
  local n, time, size = unpack_bytes('>I2I6I2', packed)
  local at = 3 + 10 * n
  return n, time, byte(packed, at + size + 2) .. sub(packed, at, at + size - 1)
end

-- `changes`: for each shelf its number, how many jobs it held, its entry in `shelves_due`, and what it becomes or nil.
local function begin(changes)
  local parts = { '\0\0\0\0\0\0' .. sub(summary or NOTHING, 7, 12) }
  for i, change in ipairs(changes) do
    parts[i + 1] = change.number .. pack('>I2I2', change.count, #change.entry) .. change.entry
  end
  call('HSET', meta, 'shelves', table.concat(parts))
end

-- Ends what `begin` began when the shelves are written. `came`: the jobs that stood alone.
local function finish(changes, came)
  local total, add, gone = (unpack_bytes('>I6', summary or NOTHING, 7)), {}, {}
  for _, change in ipairs(changes) do
    local entry = nil
    total = total - change.count
    if change.packed then
      local n, time, member = first_on(change.packed)
      entry, total = member .. change.number, total + n
      if entry ~= change.entry then add[#add + 1], add[#add + 2] = decimal(time), entry end
    end
    if change.entry ~= entry then gone[#gone + 1] = change.entry end
  end
  many('ZADD', shelves_due, add)
  many('HDEL', jobs, came.ids)
  many('ZREM', due, came.members)
  many('ZREM', shelves_due, gone)
  local first = first_score(shelves_due)
  summary = first and pack('>I6I6', first, total)
  if first then
    call('HSET', meta, 'shelves', summary)
  else
    call('DEL', shelves)
    call('HDEL', meta, 'shelves')
  end
end

-- Carries on what a script was cut in.
local function mend()
  local changes, came, at = {}, { ids = {}, times = {}, members = {} }, 13
  while at < #summary do
    local count, size = unpack_bytes('>I2I2', summary, at + 5)
    local number, entry = sub(summary, at, at + 4), sub(summary, at + 9, at + 8 + size)
    local packed = call('HGET', shelves, number)
    changes[#changes + 1] = { number = number, count = count, entry = entry, packed = packed }
    local one = packed and opened(packed)
    for i = 1, one and one.n or 0 do
      local last = #came.ids + 1
      came.ids[last], came.times[last], came.members[last] = id_at(one, i), due_at(one, i), member_at(one, i)
    end
    at = at + 9 + size
  end
  index(came, enter_once)
  finish(changes, came)
end
if summary and #summary > 12 then mend() end
