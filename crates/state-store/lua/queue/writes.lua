-- Writes of any length.

-- A command with all elements of a list, in slices of whole pairs that fit Lua's stack.
local function many(command, key, list)
  for first = 1, #list, 1000 do
    call(command, key, unpack(list, first, math.min(first + 999, #list)))
  end
end

-- Adds to a counter.
local function count(field, more) if more ~= 0 then call('HINCRBY', meta, field, more) end end

-- Adds jobs that wait to the indexes. `dues`: scores and members. `tails`: ids for each priority.
-- Returns whether waiting workers are to be notified: some are ready, or one is due before others.
local function enqueue(dues, tails)
  local is_news, first = false, dues[1] and first_score(due) or math.huge
  for i = 1, #dues, 2 do is_news = is_news or tonumber(dues[i]) < first end
  many('ZADD', due, dues)
  for priority = 0, 3 do
    if tails[priority][1] then
      many('RPUSH', ready(priority), tails[priority])
      is_news = true
    end
  end
  return is_news
end
