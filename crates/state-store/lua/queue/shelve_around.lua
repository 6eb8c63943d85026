-- Which lone jobs are put on which shelf.

-- Writes shelves: in the place of one, if there is an entry, and new ones; for the first `n` of the lone jobs.
local function put(entry, count, contents, lone, first, last)
  local changes, written, begun, came = {}, {}, {}, { ids = {}, times = {}, members = {} }
  for i, packed in ipairs(contents) do
    if entry and i == 1 then
      changes[i] = { number = sub(entry, -5), count = count, entry = entry, packed = packed }
    else
      local number, _, time, member = pack('>I5', call('HINCRBY', meta, 'shelf', 1)), first_on(packed)
      changes[i] = { number = number, count = 0, entry = member .. number, packed = packed }
      begun[#begun + 1], begun[#begun + 2] = decimal(time), changes[i].entry
    end
    written[2 * i - 1], written[2 * i] = changes[i].number, packed
    open[changes[i].number] = nil
  end
  for i = first, last do
    local at = i - first + 1
    came.ids[at], came.times[at], came.members[at] = lone.ids[i], lone.times[i], lone.members[i]
  end
  begin(changes)
  many('ZADD', shelves_due, begun)
  call('HSET', shelves, unpack(written))
  index(came, enter)
  finish(changes, came)
end

-- How many of the lone jobs from one on fit into so many bytes: the last of them.
local function last_fitting(lone, first, bytes)
  local last = first - 1
  while lone.ids[last + 1] and lone.sums[last + 1] - lone.sums[first - 1] <= bytes do last = last + 1 end
  return last
end

-- Whether a lone job comes before a job of a shelf.
local function is_earlier(lone, i, one, j)
  local time, other = lone.times[i], due_at(one, j)
  return time < other or time == other and is_before(lone.members[i], member_at(one, j))
end

-- A shelf with the first lone jobs among its own.
local function merged(one, lone, last)
  local parts, bodies, numbers, j = { pack('>I2', one.n + last) }, 2 * last + 2, one.numbers, 1
  for i = 1, last do
    local k, time = j, lone.times[i]
    while k <= one.n and (numbers[3 * k - 2] < time or numbers[3 * k - 2] == time and not is_earlier(lone, i, one, k)) do
      k = k + 1
    end
    parts[2 * i], parts[bodies + 2 * i - 1] = part(one, j, k - 1)
    parts[2 * i + 1], parts[bodies + 2 * i], j = lone.heads[i], lone.bodies[i], k
  end
  parts[bodies], parts[2 * bodies - 1] = part(one, j, one.n)
  return table.concat(parts)
end

-- A shelf as two, of which the first has not more than so many bytes.
local function parted(packed, bytes)
  local one, last = opened(packed), 1
  while last + 1 < one.n and 2 + 10 * (last + 1) + one.at[last + 2] - one.at[1] <= bytes do last = last + 1 end
  local parts = {}
  for i, ends in ipairs({ { 1, last }, { last + 1, one.n } }) do
    local heads, bodies = part(one, ends[1], ends[2])
    parts[i] = pack('>I2', ends[2] - ends[1] + 1) .. heads .. bodies
  end
  return parts
end
