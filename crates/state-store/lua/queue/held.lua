-- The jobs that a worker names as those it holds.
-- needs: common, contains, job_id, now, ones, read_batch, sub, unpack_bytes

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
    local low, high = unpack_bytes('>I4I4', text, at + 33)
    local batch, left_low, left_high = read_batch(id), low, high
    for i = 1, batch and #batch.leases or 0 do
      local lease = batch.leases[i]
      local of_low, of_high = common(lease.low, left_low), common(lease.high, left_high)
      if lease.fence == fence and lease.ends > now and of_low + of_high > 0 then
        lease.heard, batch.is_changed = 1, true
        if visit(batch, lease, of_low, of_high) then
          left_low, left_high = left_low - of_low, left_high - of_high
        end
      end
    end
    if left_low + left_high == 0 then
      number = number + ones(low) + ones(high)
    else
      for position = 0, 63 do
        if contains(left_low, left_high, position) then
          add_rest(job_id(id, position), fence, number)
        end
        if contains(low, high, position) then number = number + 1 end
      end
    end
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
