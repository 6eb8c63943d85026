-- Finds jobs in the index of the shelves.

-- Where it has a job: the field, and the first two bytes of the entry there.
local function spot_of(id)
  local hash = 0
  if #id == 17 and string.byte(id) == 1 then
    local a, b, c, d = struct.unpack('>I4I4I4I4', id, 2)
    hash = (((a * 40503 + b) % 4294967291 * 40503 + c) % 4294967291 * 40503 + d) % 4294967291
  else
    local padded = string.rep('\0', -#id % 4) .. id
    for at = 1, #padded, 4 do hash = (hash * 40503 + struct.unpack('>I4', padded, at)) % 4294967291 end
  end
  local field = hash % 65536
  return struct.pack('>I2', field), struct.pack('>I2', (hash - field) / 65536)
end

-- Which of the ids from one to another one the index may know.
local function indexed(ids, first, last)
  local found, fields, marks = {}, {}, {}
  for i = first, last do
    local at = i - first + 1
    fields[at], marks[at] = spot_of(ids[i])
  end
  for i, entries in ipairs(call('HMGET', KEYS[18], unpack(fields))) do
    if entries and string.find(entries, marks[i], 1, true) then found[ids[first + i - 1]] = true end
  end
  return found
end
