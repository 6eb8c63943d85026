-- queue/list: the elements of an index, a page at a time.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 state, 4 at most how many elements, 5 about how many bytes may be
--         read, 6.. the end of the page before, if any: mark, element, '1' to return it again or ''
-- Returns 'shape' and the recorded one, or 'listed', whether this is the end (0 or 1), then from
--         the end of the page before, or all with its score if that element is gone, for each
--         element its mark (priority and position if ready, otherwise its score), the element,
--         the record of a single job (its first 9 and last 6 bytes) or the batch, the state, and
--         the score (if ready, the one in `due`) or ''
-- Retry   reads only
-- Cost    n elements: 3 commands each, O(n + bytes + log s) with s in that state; if ready,
--         O(position)
local reply, left, room = { 'listed', 1 }, tonumber(ARGV[4]), tonumber(ARGV[5])
local indexes = { scheduled = due, running = leased, completed = completed, dead = dead }
local index, seen, is_again = indexes[ARGV[3]], ARGV[7], ARGV[8] == '1'

-- Returns an element, if there is room. Without a score: of the list of this priority.
local function show(mark, element, score, priority)
  if left == 0 or room <= 0 then reply[2] = 0; return end
  local id = index == due and sub(element, 2) or element
  local record, s = call('HGET', jobs, id) or '', call('HGET', state, id) or ''
  -- An id that was pushed again can still be in another list.
  if not score and byte(id) ~= 2 and byte(record, 3) ~= priority then record = '' end
  left, room = left - 1, room - #record - #s
  if byte(id) ~= 2 then record = sub(record, 1, 9) .. sub(record, -6) end
  add(reply, mark, element)
  add(reply, record, s)
  reply[#reply + 1] = score or call('ZSCORE', due, priority .. element) or ''
end

local function show_ready(priority)
  local key, from = ready(priority), 0
  if seen and tonumber(sub(ARGV[6], 1, 1)) == priority then
    -- What was seen last has moved towards the head, or was claimed with all before it.
    local at = call('LPOS', key, seen, 'MAXLEN', tonumber(sub(ARGV[6], 2)) + 101)
    from = at and (is_again and at or at + 1) or 0
  end
  for i, element in ipairs(call('LRANGE', key, from, from + left)) do
    show(priority .. decimal(from + i - 1), element, nil, priority)
  end
end

if index then
  local from = 0
  if seen and call('ZSCORE', index, seen) == ARGV[6] then
    from = call('ZRANK', index, seen) + (is_again and 0 or 1)
  elseif seen then
    from = call('ZCOUNT', index, '-inf', '(' .. ARGV[6])
  elseif index == completed then
    from = call('ZCOUNT', index, '-inf', decimal(now))
  end
  local found = call('ZRANGE', index, from, from + left, 'WITHSCORES')
  for i = 1, #found, 2 do show(found[i + 1], found[i], found[i + 1]) end
else
  for priority = seen and tonumber(sub(ARGV[6], 1, 1)) or 0, 3 do
    show_ready(priority)
    if reply[2] == 0 then break end
  end
end
return reply
