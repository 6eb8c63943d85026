-- What the holder of a partition does under its fence.
-- needs: call, head_in, group_in, group_text, nobody, field_of
-- Reads the entry of a group whose last lease has this fence, and the head. nil if there is none;
-- then an error or nil.
local function held_group(groups, name, fence)
  local stored = redis.pcall('HMGET', groups, 'head', 'g' .. name)
  if stored.err then return nil, stored.err end
  local head, failure = head_in(stored[1])
  if failure or not head or not stored[2] then return nil, failure end
  local group, damage = group_in(stored[2])
  if not group or group.fence ~= fence then return nil, damage end
  return group, head
end

-- Whether the partition still has what a consumer has read: its last event, with the time of its
-- append. After a failover that lost events, others can have their numbers.
local function has_read(events, head, last, appended)
  if last < head.first then return true end
  return last <= head.last and field_of(events, last) == appended
end

-- Moves the cursor of a group to the event `number`, if it is behind it. `last`: the number of the
-- last event that the consumer has read (0: unknown), `appended`: when it was appended (ms).
-- 'acknowledged' | 'superseded' | 'failed', error
local function acknowledge_events(events, groups, name, fence, number, last, appended)
  local group, head = held_group(groups, name, fence)
  if not group then return head and {'failed', head} or {'superseded'} end
  if last > 0 and not has_read(events, head, last, appended) then return {'superseded'} end
  group.cursor = math.max(group.cursor, math.min(number, head.last))
  -- A repetition writes the same again: a durable call waits for the last write of its connection.
  call('HSET', groups, 'g' .. name, group_text(group))
  return {'acknowledged'}
end

-- Ends the lease of a partition. 'released' | 'superseded' | 'failed', error
local function release_partition(groups, name, fence)
  local group, head = held_group(groups, name, fence)
  if not group then return head and {'failed', head} or {'superseded'} end
  group.till, group.holder = 0, nobody
  call('HSET', groups, 'g' .. name, group_text(group))
  return {'released'}
end
