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
