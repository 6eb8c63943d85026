-- The layout of a stored value is the digit with which it begins. ARGV[2]: what is stored, a blank,
-- and three digits: the oldest and the newest layout that this version reads, and the one that it
-- writes.
local layout = string.sub(ARGV[2], -1)

-- The error of a value whose layout this version does not read, else nil.
local function unreadable(value)
  local found, oldest, newest = string.byte(value), string.byte(ARGV[2], -3, -2)
  if found and found >= oldest and found <= newest then return nil end
  if not found or found < 48 or found > 57 then
    return 'TWCORRUPT the stored value does not begin with a layout'
  end
  return 'TWLAYOUT ' .. string.char(found) .. ' ' .. ARGV[2]
end
