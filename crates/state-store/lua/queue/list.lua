-- queue/list: the jobs in a state, a page at a time.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 state, 4 at most how many jobs, 5 about how many bytes of records
--         may be read, 6.. the end of the page before, if any: priority and position (ready) or
--         time in ms, element, position in the batch that was shown last or ''
-- Returns 'shape' and the recorded one, or 'listed', where this page ends (as ARGV 6 to 8; empty
--         at the end), then for each job: packed id, the first 9 and the last 6 bytes of its
--         record, state without progress and result or '', time in ms or ''
-- Retry   reads only
-- Cost    n jobs: 3 commands per job or batch, O(n + log s) with s in that state; ready:
--         O(position)
-- needs: byte, call, completed, dead, decimal, due, is_full, leased, new_page, rank_behind
-- needs: ready, show_batch, show_single, sub

local page = new_page(ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]))
local keys = { scheduled = due, running = leased, completed = completed, dead = dead }
local seen, inside, ends = ARGV[7], tonumber(ARGV[8] or ''), { '', '', '' }

-- Shows one element of an index. Whether the page ends within it or behind it; `mark`: where it is.
local function show_element(element, mark, at)
  if is_full(page) then return true end
  local member = element
  if page.place == 'scheduled' then member = sub(element, 2) end
  local stopped = nil
  if byte(member) == 2 then
    stopped = show_batch(page, member, element == seen and inside or -1)
  else
    show_single(page, member, at)
  end
  ends = { mark, element, stopped or '' }
  return stopped ~= nil
end

-- Shows the elements that `read` returns from a position on. Whether the end was reached.
local function walk(from, read, mark)
  for _ = 1, 40 do
    local elements, times = read(from)
    if #elements == 0 then return true end
    for i, element in ipairs(elements) do
      if show_element(element, mark(from, times[i] or ''), times[i] or '') then return false end
      from = from + 1
    end
  end
  return false
end

local function walk_ready(priority)
  local from, key = 0, ready(priority)
  if seen and priority == tonumber(sub(ARGV[6], 1, 1)) then
    -- What was seen last has moved towards the head, or was claimed with all before it.
    local at = call('LPOS', key, seen, 'MAXLEN', tonumber(sub(ARGV[6], 2)) + 101)
    from = at and (inside and at or at + 1) or 0
  end
  return walk(from, function(at) return call('LRANGE', key, at, at + 49), {} end,
    function(at) return priority .. decimal(at) end)
end

local function walk_set(key)
  local from = rank_behind(key, ARGV[6], seen)
  if inside and call('ZSCORE', key, seen) == ARGV[6] then from = from - 1 end
  return walk(from, function(at)
    local elements, times = {}, {}
    for i, value in ipairs(call('ZRANGE', key, at, at + 49, 'WITHSCORES')) do
      table.insert(i % 2 == 1 and elements or times, value)
    end
    return elements, times
  end, function(_, time) return time end)
end

local is_end
if keys[page.place] then
  is_end = walk_set(keys[page.place])
else
  for priority = seen and tonumber(sub(ARGV[6], 1, 1)) or 0, 3 do
    is_end = walk_ready(priority)
    if not is_end then break end
  end
end
if is_end then ends = { '', '', '' } end
local reply = { 'listed', ends[1], ends[2], ends[3] }
for i = 1, #page.items do reply[i + 4] = page.items[i] end
return reply
