-- topic/acknowledge: moves the cursors of groups behind events that they have handled. Reports that
-- events exceed the bounds of the topic, or removes them.
-- KEYS     for each group: the partition's events (stream) and groups (hash): see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each group: its name, the fence of the lease, the number of the event,
--          the last event that was read (0: unknown) and when it was appended (ms), the bounds:
--          age (ms), events, bytes; the last event of the partition when the bounds were read, or
--          '' if they may be outdated
-- Returns  'each', then for each group: 'acknowledged' | 'acknowledged', the last event of the
--          partition: nothing was removed, but events exceed the bounds | 'superseded' |
--          'failed', error
-- Retry    leads to the same cursor; writes again, so that WAIT covers it
-- Cost     3 commands for each group, O(log events); O(removed), at most 2,000 events, if it
--          removes events
-- needs: call, now, decimal, head_text, group_text, field_of, held_group, move_first
-- Whether the partition still has what a consumer has read: its last event, with the time of its
-- append. After a failover that lost events, others can have their numbers.
local function has_read(events, head, last, appended)
  if last < head.first then return true end
  return last <= head.last and field_of(events, last) == appended
end

-- Moves the cursor of a group to the event `number`, if it is behind it. `last`: the number of the
-- last event that the consumer has read (0: unknown), `appended`: when it was appended (ms). Also
-- removes the oldest events that exceed the bounds, if these were read when the last event was
-- `unchanged`: an append may follow a declaration that retains more. A full server runs no appends,
-- which remove events otherwise. 'acknowledged', and the last event if nothing was removed that
-- exceeds the bounds | 'superseded' | 'failed', error
local function acknowledge_events(events, groups, name, fence, number, last, appended, age, most,
  most_bytes, unchanged)
  local group, head = held_group(groups, name, fence)
  if not group then return head and {'failed', head} or {'superseded'} end
  if last > 0 and not has_read(events, head, last, appended) then return {'superseded'} end
  group.cursor = math.max(group.cursor, math.min(number, head.last))
  -- A repetition writes the same again: a durable call waits for the last write of its connection.
  call('HSET', groups, 'g' .. name, group_text(group))
  if move_first(events, head, head.last + 1, math.max(now, head.at), age, most, most_bytes) then
    if head.last ~= unchanged then return {'acknowledged', head.last} end
    call('HSET', groups, 'head', head_text(head))
    call('XTRIM', events, 'MINID', decimal(head.first))
  end
  return {'acknowledged'}
end

local reply = {'each'}
for index = 1, #KEYS, 2 do
  local at = 3 + 9 * (index - 1) / 2
  local name, fence, number, last, appended, age, most, most_bytes, unchanged
    = unpack(ARGV, at, at + 8)
  reply[#reply + 1] = acknowledge_events(KEYS[index], KEYS[index + 1], name, tonumber(fence),
    tonumber(number), tonumber(last), tonumber(appended), tonumber(age), tonumber(most),
    tonumber(most_bytes), tonumber(unchanged))
end
return reply
