-- The single jobs that a worker names as those it holds.

-- All named jobs that are not dealt with as positions of batches.
local rest = {}

-- `text` has for each single job a fence (16 digits), a length (2 bytes) and the packed id.
local function read_singles(text, number)
  local from = 1
  while from < #text do
    local fence, id, behind = unpack_bytes('>c16I2c0', text, from)
    rest[#rest + 1] = { id = id, fence = fence, number = number }
    number, from = number + 1, behind
  end
  return number
end
