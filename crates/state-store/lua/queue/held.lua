-- The jobs that a worker names as those it holds.
-- needs: common, contains, job_id, now, ones, read_batch, read_positions, sub, unpack_bytes

-- Those that were not dealt with as positions of batches, with their fences and numbers.
local rest = { ids = {}, fences = {}, numbers = {} }

local function add_rest(id, fence, number)
  local at = #rest.ids + 1
  rest.ids[at], rest.fences[at], rest.numbers[at] = id, fence, number
end

-- `text` has for each batch its id (17 bytes), a fence (16 digits) and positions (8 bytes). `visit`
-- gets a batch, a lease, and the positions that are held under it; it returns whether it dealt with
-- them. Returns how many jobs are named.
local function visit_batches(text, visit)
  local number = 0
  for at = 1, #text, 41 do
    local id, fence = sub(text, at, at + 16), sub(text, at + 17, at + 32)
    local batch, named = read_batch(id), read_positions(text, at + 33)
    local left = named
    for i = 1, batch and #batch.leases or 0 do
      local lease = batch.leases[i]
      local found = common(lease.positions, left)
      if lease.fence == fence and lease.ends > now and found > 0 then
        lease.heard, batch.is_changed = 1, true
        if visit(batch, lease, found) then left = left - found end
      end
    end
    for position = 0, left > 0 and 63 or -1 do
      if contains(left, position) then
        add_rest(job_id(id, position), fence, number + ones(named % 2 ^ position))
      end
    end
    number = number + ones(named)
  end
  return number
end

-- `text` has for each single job a fence (16 digits), a length (2 bytes) and the packed id.
local function read_singles(text, number)
  local from = 1
  while from < #text do
    local size = unpack_bytes('>I2', text, from + 16)
    add_rest(sub(text, from + 18, from + 17 + size), sub(text, from, from + 15), number)
    number, from = number + 1, from + 18 + size
  end
  return number
end
