-- Appending events to a partition, and removing the oldest ones.
-- needs: call, now, now_up, is_repeat, layout, decimal, head_in, new_head, head_text, begin_head
-- needs: move_first
-- Counts the events that an interrupted script has appended behind the head. Returns whether there
-- are any.
local function repair_head(events, head)
  local found = redis.pcall('XRANGE', events, decimal(head.last + 1), '+')
  if found.err or not found[1] then return false end
  for _, entry in ipairs(found) do head.bytes = head.bytes + #entry[2][2] - 3 end
  local last = found[#found]
  head.last = tonumber(string.match(last[1], '^%d+'))
  head.at = tonumber(string.match(last[2][1], '^.(%d+)'))
  return true
end

local function add_event(events, number, mark, field, value)
  return redis.pcall('XADD', events, string.format('%.0f-', number) .. mark, field, value)
end

-- Whether the partition has the event with this number and mark.
local function has_event(events, head, number, mark)
  local id = decimal(number) .. '-' .. mark
  local found = number >= head.first and redis.pcall('XRANGE', events, id, id)
  return found and found[1] ~= nil
end

-- Appends the `count` events values[from] and so on, with `bytes` of keys and payloads. `age` (ms),
-- `most` and `most_bytes`: the bounds; `keeps`: how long the partition lasts (ms). The key `known`
-- remembers the call for `remembered` (ms). `mark`: '0', or the mark of the only event: its number
-- is remembered with a minus before it is appended. Wherever an earlier call of its outbox's entry
-- ended, also if other appends followed, the event is found. 'appended', number of the first |
-- 'failed', error
local function append_events(events, groups, known, values, from, count, bytes, age, most,
  most_bytes, keeps, margin, remembered, mark)
  local answer = is_repeat and call('GET', known)
  local begun = answer and -tonumber(answer)
  if answer and begun <= 0 then
    -- Written again: a durable call waits for the last write of its connection.
    call('SET', known, answer, 'PX', remembered)
    return {'appended', tonumber(answer)}
  end
  local stored = redis.pcall('HGET', groups, 'head')
  if type(stored) == 'table' and stored.err then return {'failed', stored.err} end
  local head, failure, is_expired = head_in(stored)
  if failure then return {'failed', failure} end
  if is_expired then call('UNLINK', events, groups) end
  head = head or new_head()
  -- XADD fails if entries are behind the head, but not for a mark above theirs.
  if mark ~= '0' then repair_head(events, head) end
  local at = math.max(now, head.at)
  local first, field = head.last + 1, layout .. decimal(at) .. ' ' .. decimal(head.bytes)
  if begun and has_event(events, head, begun, mark) then
    count, bytes = 0, 0
  else
    begun = nil
    if mark ~= '0' then call('SET', known, '-' .. decimal(first), 'PX', remembered) end
    local added = add_event(events, first, mark, field, values[from])
    if type(added) == 'table' and repair_head(events, head) then
      at = math.max(at, head.at)
      first, field = head.last + 1, layout .. decimal(at) .. ' ' .. decimal(head.bytes)
      added = add_event(events, first, mark, field, values[from])
    end
    if type(added) == 'table' and added.err then return {'failed', added.err} end
  end
  for index = 1, count - 1 do
    call('XADD', events, string.format('%.0f-0', first + index), field, values[from + index])
  end
  local is_new = head.till == 0
  local is_renewed = head.first == first or (head.till - now_up) * 16 < keeps * 15
  if is_renewed then
    local lasting = decimal(keeps + margin)
    call('PEXPIRE', events, lasting)
    begin_head(groups, head, is_new)
    call('PEXPIRE', groups, lasting)
    head.till = now_up + keeps
  end
  if head.first == first then head.first_at, head.before = at, head.bytes end
  head.last, head.bytes, head.at = first + count - 1, head.bytes + bytes, at
  local is_moved = move_first(events, head, first, at, age, most, most_bytes)
  call('HSET', groups, 'head', head_text(head))
  if is_moved then call('XTRIM', events, 'MINID', decimal(head.first)) end
  call('SET', known, decimal(begun or first), 'PX', remembered)
  return {'appended', begun or first}
end
