-- The layout of a stored value is the digit with which it begins. ARGV[2]: what is stored, a blank,
-- and three digits: the oldest and the newest layout that this version reads, and the one that it
-- writes.
local layout = string.sub(ARGV[2], -1)

local oldest_layout, newest_layout = string.byte(ARGV[2], -3, -2)

-- The error of a value whose layout this version does not read, else nil.
local function unreadable(value)
  local found = string.byte(value)
  if found and found >= oldest_layout and found <= newest_layout then return nil end
  if not found or found < 48 or found > 57 then
    return 'TWCORRUPT the stored value does not begin with a layout'
  end
  return 'TWLAYOUT ' .. string.char(found) .. ' ' .. ARGV[2]
end
