-- Sets of positions of a batch, as numbers: 2^p for position p. A batch has at most 50, and a
-- number holds 53 bits. In a text they are two words, that of the positions 0 to 31 first.
local band, rshift, WORD = bit.band, bit.rshift, 4294967296

local function read_positions(text, at)
  local low, high = unpack_bytes('>I4I4', text, at)
  return low + high * WORD
end

local function positions_text(positions)
  local low = positions % WORD
  return pack('>I4I4', low, (positions - low) / WORD)
end

local function contains(positions, position)
  return positions % 2 ^ (position + 1) >= 2 ^ position
end

-- How many they are. Counts pairs, then fours, then bytes of bits side by side.
local function ones(positions)
  local n = 0
  while positions > 0 do
    local word = positions % WORD
    local twos = word - band(rshift(word, 1), 0x55555555)
    local fours = band(twos, 0x33333333) + band(rshift(twos, 2), 0x33333333)
    n = n + band(fours + rshift(fours, 4), 0x0F0F0F0F) % 255
    positions = (positions - word) / WORD
  end
  return n
end
