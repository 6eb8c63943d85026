-- Reads shelves, as keys.lua describes them.
local summary = call('HGET', meta, 'shelves')

-- Whether a member comes before another one as the server orders them: by bytes, whatever the locale is.
local function is_before(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = byte(one, i), byte(other, i)
    if a ~= b then return a < b end
  end
  return #one < #other
end

-- A shelf to read: how many jobs it holds, three numbers of each (when it is due, how long its id is, how long id and record
-- are), and where each begins; behind the last one where it ends.
local function opened(packed)
  local n = unpack_bytes('>I2', packed)
  local numbers, at, from = { unpack_bytes('>' .. string.rep('I6I2I2', n), packed, 3) }, {}, 3 + 10 * n
  for i = 1, n do
    at[i] = from
    from = from + numbers[3 * i]
  end
  at[n + 1] = from
  return { packed = packed, n = n, numbers = numbers, at = at }
end

local function due_at(one, i) return one.numbers[3 * i - 2] end

local function id_at(one, i) return sub(one.packed, one.at[i], one.at[i] + one.numbers[3 * i - 1] - 1) end

local function record_at(one, i) return sub(one.packed, one.at[i] + one.numbers[3 * i - 1], one.at[i + 1] - 1) end

-- The member that a job has or would have in `due`.
local function member_at(one, i) return byte(one.packed, one.at[i] + one.numbers[3 * i - 1] + 2) .. id_at(one, i) end

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
      local rank, entry, packed_shelf = rank_on_shelves(decimal(time), priority .. id), nil, nil
      while rank > 0 and not packed_shelf do
        entry = call('ZRANGE', shelves_due, rank - 1, rank - 1)[1]
        packed_shelf, rank = call('HGET', shelves, sub(entry, -5)), rank - 1
      end
      local one = packed_shelf and opened(packed_shelf)
      for i = 1, one and one.n or 0 do
        if due_at(one, i) == time and id_at(one, i) == id then return time, record_at(one, i), entry end
      end
    end
    at = string.find(entries, mark, at + 1, true)
  end
end
