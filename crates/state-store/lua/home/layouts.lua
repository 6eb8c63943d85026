-- As layout.lua, for a script that reads several kinds of data. `of_kind` takes what layout.lua
-- takes as ARGV[2], and chooses the kind that is read and written next.
local chosen, layout = '', ''

local function of_kind(text) chosen, layout = text, string.sub(text, -1) end

-- The error of a value whose layout this version does not read, else nil.
local function unreadable(value)
  local found, oldest, newest = string.byte(value), string.byte(chosen, -3, -2)
  if found and found >= oldest and found <= newest then return nil end
  if not found or found < 48 or found > 57 then
    return 'TWCORRUPT the stored value does not begin with a layout'
  end
  return 'TWLAYOUT ' .. string.char(found) .. ' ' .. chosen
end
