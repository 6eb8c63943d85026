-- What the holder of a partition does under its fence.
-- needs: call, head_in, group_in, group_text, nobody
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

-- Ends the lease of a partition. 'released' | 'superseded' | 'failed', error
local function release_partition(groups, name, fence)
  local group, head = held_group(groups, name, fence)
  if not group then return head and {'failed', head} or {'superseded'} end
  group.till, group.holder = 0, nobody
  call('HSET', groups, 'g' .. name, group_text(group))
  return {'released'}
end
