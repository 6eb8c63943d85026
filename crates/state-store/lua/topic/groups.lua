-- Finding and making the groups of a partition.
-- needs: call, now_up, decimal, nobody, head_in, new_head, head_text, begin_head, group_in
-- needs: group_text

-- Reads the head of a partition and the entry of a group. Makes the head if there is none, and the
-- entry: it begins with the oldest event. Both are not written yet. `keeps`: how long a partition
-- lasts (ms); `most`: how many groups it may have. Returns head, entry, whether the head is new; or
-- nil and an error.
local function open_group(events, groups, name, keeps, most)
  local stored = redis.pcall('HMGET', groups, 'head', 'g' .. name)
  if stored.err then return nil, stored.err end
  local head, failure, is_expired = head_in(stored[1])
  if failure then return nil, failure end
  local is_new, entry = not head, not is_expired and stored[2]
  if is_new then
    -- What is there has expired, or is what an interrupted append has left without a TTL.
    call('UNLINK', events, groups)
    head = new_head()
    head.till = now_up + keeps
  end
  if entry then
    local group, damage = group_in(entry)
    if damage then return nil, damage end
    return head, group, is_new
  end
  if call('HLEN', groups) > most then
    return nil, 'TWINVALID the topic has ' .. most .. ' groups, and may not have more'
  end
  return head, {cursor = head.first - 1, fence = 0, till = 0, wish_till = 0, wish = 0,
    holder = nobody, name = ''}, is_new
end

-- Writes the entry of a group, and the head if it is new.
local function write_group(groups, head, name, group, is_new, margin)
  local text = group_text(group)
  if not is_new then
    call('HSET', groups, 'g' .. name, text)
    return
  end
  local till = head.till
  begin_head(groups, head, true)
  call('PEXPIRE', groups, decimal(till - now_up + margin))
  head.till = till
  call('HSET', groups, 'head', head_text(head), 'g' .. name, text)
end
