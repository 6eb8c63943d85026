-- The oldest events that a partition need not retain.
-- needs: field_of
local most_removed = 2000

-- Moves the head's oldest event behind those that exceed a bound at the time `at` (ms), unless no
-- bound is exceeded by a sixteenth. Events from `own` on stay. Returns whether it has moved.
local function move_first(events, head, own, at, age, most, most_bytes)
  if (head.last - head.first + 1) * 16 <= most * 17 and (at - head.first_at) * 16 <= age * 17
    and (head.bytes - head.before) * 16 <= most_bytes * 17 then return false end
  local high = math.min(own, head.first + most_removed)
  local low = math.min(math.max(head.first, head.last - most + 1), high)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local appended, before = field_of(events, middle)
    if appended and (at - appended > age or head.bytes - before > most_bytes) then
      low = middle + 1
    else
      high = middle
    end
  end
  if low == head.first then return false end
  local appended, before = field_of(events, low)
  head.first, head.first_at, head.before = low, appended or head.at, before or head.bytes
  return true
end
