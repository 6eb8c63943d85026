-- Finds jobs on shelves.

-- Shelves that this script has opened, by their numbers; forgotten when they are changed.
local open, n_open = {}, 0

-- A shelf by its number, opened; nil when there is none.
local function shelf_at(number)
  if open[number] then return open[number] end
  local packed = call('HGET', shelves, number)
  if not packed then return nil end
  if n_open == 64 then open, n_open = {}, 0 end
  open[number], n_open = opened(packed), n_open + 1
  return open[number]
end

-- How many shelves begin at a time (in digits) and member or before.
local function rank_on_shelves(at, member)
  local low, high = call('ZCOUNT', shelves_due, '-inf', '(' .. at), call('ZCOUNT', shelves_due, '-inf', at)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before(member, sub(call('ZRANGE', shelves_due, middle, middle)[1], 1, -6)) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

-- When a job on a shelf is due, in ms, its record, and the shelf's entry in `shelves_due`; nil when it is on none.
local function shelved(id)
  if not summary then return nil end
  local field, mark = spot_of(id)
  local entries = call('HGET', shelves, field) or ''
  local at = string.find(entries, mark, 1, true)
  while at do
    if at % 8 == 1 then
      local packed = unpack_bytes('>I6', entries, at + 2)
      local priority = packed % 4
      local time = (packed - priority) / 4
      local rank, entry, one = rank_on_shelves(decimal(time), priority .. id), nil, nil
      while rank > 0 and not one do
        entry = call('ZRANGE', shelves_due, rank - 1, rank - 1)[1]
        one, rank = shelf_at(sub(entry, -5)), rank - 1
      end
      for i = 1, one and one.n or 0 do
        if due_at(one, i) == time and id_at(one, i) == id then return time, record_at(one, i), entry end
      end
    end
    at = string.find(entries, mark, at + 1, true)
  end
end
