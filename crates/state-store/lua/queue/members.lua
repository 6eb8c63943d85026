-- Which parcels jobs are in: `parcel_of`, as keys.lua describes it.

-- The field that tells of an id, and, for a UUID of version 7, its number in the family.
local function field_of(id)
  if #id ~= 17 or byte(id) ~= 1 or math.floor(byte(id, 8) / 16) ~= 7 then return id end
  local number = byte(id, 17) % 64
  return sub(id, 1, 16) .. char(byte(id, 17) - number), number
end

-- Whether two words have the bit of a number.
local function has(low, high, number)
  local word = number < 32 and low or high
  return math.floor(word / 2 ^ (number % 32)) % 2 == 1
end

-- For each job the reference of the parcel that it is in, or false.
local function refs_of(ids)
  local fields, numbers, refs = {}, {}, {}
  for i, id in ipairs(ids) do fields[i], numbers[i] = field_of(id) end
  for i, entries in ipairs(call('HMGET', parcel_of, unpack(fields))) do
    local number = numbers[i]
    refs[i] = not number and entries ~= '' and entries
    for at = 1, number and entries and #entries or 0, 20 do
      local low, high = unpack_bytes('>I4I4', entries, at + 12)
      if has(low, high, number) then refs[i] = sub(entries, at, at + 11) end
    end
  end
  return refs
end

-- What is told of a family when one of its jobs is in this parcel, or in none. Whether it was in one.
local function changed(entries, number, ref)
  local parts, was, is_told = {}, false, not ref
  local function add(of, low, high)
    if low + high > 0 then parts[#parts + 1] = of .. pack('>I4I4', low, high) end
  end
  local low_bit, high_bit = number < 32 and 2 ^ number or 0, number >= 32 and 2 ^ (number - 32) or 0
  for at = 1, #entries, 20 do
    local of, low, high = sub(entries, at, at + 11), unpack_bytes('>I4I4', entries, at + 12)
    if has(low, high, number) then low, high, was = low - low_bit, high - high_bit, true end
    if of == ref then low, high, is_told = low + low_bit, high + high_bit, true end
    add(of, low, high)
  end
  if not is_told then add(ref, low_bit, high_bit) end
  return table.concat(parts), was
end

-- From now on jobs are in this parcel, or, without one, in none. One command changes all, and how many there are.
local function move(ids, ref)
  if #ids == 0 then return end
  local fields, at, entries_of = {}, {}, {}
  for i, id in ipairs(ids) do
    local field = field_of(id)
    if not at[field] then
      fields[#fields + 1] = field
      at[field] = #fields
    end
  end
  for i, entries in ipairs(call('HMGET', parcel_of, unpack(fields))) do entries_of[i] = entries or '' end
  local total, all, gone = tonumber(call('HGET', parcel_of, '\0') or 0), {}, {}
  for _, id in ipairs(ids) do
    local field, number = field_of(id)
    local i, was = at[field], entries_of[at[field]] ~= ''
    if number then
      entries_of[i], was = changed(entries_of[i], number, ref)
    else
      entries_of[i] = ref or ''
    end
    total = total + (ref and 1 or 0) - (was and 1 or 0)
  end
  if total <= 0 then return call('DEL', parcel_of) end
  for i, field in ipairs(fields) do
    all[2 * i - 1], all[2 * i] = field, entries_of[i]
    if entries_of[i] == '' then gone[#gone + 1] = field end
  end
  call('HSET', parcel_of, '\0', total, unpack(all))
  many('HDEL', parcel_of, gone)
end
