-- A partition of a topic has two keys:
--   events  stream: the events; the id of an entry is the number of the event. One field: its name
--           is the layout, when the event was appended (ms), a blank, and the bytes of all events
--           before those of the same append; its value is the length of the key (3 digits), the
--           key, the payload
--   groups  hash:
--     head    layout, and seven numbers with blanks between them: of the last event, of all bytes
--             that were appended, when the last event was appended (ms), of the oldest event that
--             is retained, of the bytes before its append, when it was appended (ms), until when
--             the partition lasts (ms)
--     g NAME  layout, the last event that the group has acknowledged, the fence of the last lease
--             (16 digits each), the end of the lease, the end of another consumer's wish (ms, 15
--             digits each), how many partitions that consumer holds (4 digits), the identity of
--             the holder (16 bytes; zeros if it has released the partition), its name
-- The numbers of a new partition begin with the time in µs.
-- needs: call, now, micros, layout, unreadable, decimal
local nobody = string.rep('\0', 16)

-- The head in a text, or nil if there is none or the partition has expired. Then an error, and
-- whether it has expired.
local function head_in(text)
  if not text then return nil end
  local failure = unreadable(text)
  local last, bytes, at, first, before, first_at, till
    = string.match(text, '^.(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not failure and not till then failure = 'TWCORRUPT the entry is no partition of a topic' end
  if failure then return nil, failure end
  till = tonumber(till)
  if till <= now then return nil, nil, true end
  local head = {last = tonumber(last), bytes = tonumber(bytes), till = till}
  head.at, head.first, head.before = tonumber(at), tonumber(first), tonumber(before)
  head.first_at = tonumber(first_at)
  return head
end

-- The head of a partition without events.
local function new_head()
  return {last = micros - 1, bytes = 0, at = now, first = micros, before = 0, first_at = now,
    till = 0}
end

local function head_text(head)
  return layout .. string.format('%.0f %.0f %.0f %.0f %.0f %.0f %.0f', head.last, head.bytes,
    head.at, head.first, head.before, head.first_at, head.till)
end

-- Makes the key of a new partition, so that it gets a TTL before the head says that it lasts. What
-- an interrupted script leaves has expired.
local function begin_head(groups, head, is_new)
  if is_new then
    head.till = 0
    call('HSET', groups, 'head', head_text(head))
  end
end

-- The entry of a group in a text, or nil and an error.
local function group_in(text)
  local failure, sub = unreadable(text), string.sub
  local numbers = string.match(text, '^.(%d+)', 1)
  if not failure and (#text < 83 or not numbers or #numbers < 66) then
    failure = 'TWCORRUPT the entry is no group of a topic'
  end
  if failure then return nil, failure end
  return {cursor = tonumber(sub(text, 2, 17)), fence = tonumber(sub(text, 18, 33)),
    till = tonumber(sub(text, 34, 48)), wish_till = tonumber(sub(text, 49, 63)),
    wish = tonumber(sub(text, 64, 67)), holder = sub(text, 68, 83), name = sub(text, 84)}
end

local function group_text(group)
  return layout .. string.format('%016.0f%016.0f%015.0f%015.0f%04d', group.cursor, group.fence,
    group.till, group.wish_till, group.wish) .. group.holder .. group.name
end

-- When the event with this number, or the next one, was appended, and the bytes before its append.
local function field_of(events, number)
  local found = call('XRANGE', events, decimal(number), '+', 'COUNT', '1')[1]
  if not found then return nil end
  local at, before = string.match(found[2][1], '^.(%d+) (%d+)$')
  return tonumber(at), tonumber(before)
end
