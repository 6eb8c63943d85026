-- Reading a partition for a group.
-- needs: call, now, now_up, micros, decimal, group_text, open_group, write_group, notify_watchers

-- Adds pages of the stream to a reply: from the event `from` to `last`, up to `most` entries, and
-- none after `budget.left` bytes, which it counts down. A page has up to 100 entries, and at their
-- `average` size as many bytes as are left. Returns an error, or nil.
local function add_pages(reply, events, from, last, most, average, budget)
  while most > 0 and from <= last and budget.left > 0 do
    local size = math.max(1, math.min(100, math.floor(budget.left / (average + 1))))
    local count = math.min(most, size)
    local page = redis.pcall('XRANGE', events, decimal(from), decimal(last), 'COUNT', count)
    if page.err then return page.err end
    if not page[1] then return nil end
    reply[#reply + 1] = page
    most = #page < count and 0 or most - count
    if most > 0 or budget.is_shared then
      for _, entry in ipairs(page) do budget.left = budget.left - #entry[2][2] end
      from = tonumber(string.match(page[#page][1], '^%d+')) + 1
    end
  end
  return nil
end

-- Takes or renews the lease of a partition for the consumer `holder` (16 bytes) called `name`, for
-- `lease` (ms), and reads up to `most` events. `holding`: how many partitions it holds; `wishing`:
-- how long its wish lasts (ms); `budget.left`: the bytes that all reads may return; `publish`: the
-- command by which a new wish notifies the holder, see notify_watchers.lua.
-- 'events', fence, until, left, the wish (-1: none), how many events were removed before they were
-- read, lag, pages | 'taken', holder, until | 'failed', error
local function read_events(events, groups, group_name, holder, name, lease, most, holding, keeps,
  margin, wishing, most_groups, budget, publish)
  local head, group, is_new = open_group(events, groups, group_name, keeps, most_groups)
  if not head then return {'failed', group} end
  local is_own = group.fence > 0 and group.holder == holder
  local is_wished = group.wish_till > now
  if not is_own and group.till > now then
    if not is_wished or holding < group.wish then
      group.wish, group.wish_till = holding, now_up + wishing
      call('HSET', groups, 'g' .. group_name, group_text(group))
      notify_watchers(publish, events)
    end
    return {'taken', group.name, group.till}
  end
  if not is_own and is_wished and holding > group.wish then
    return {'taken', '', group.wish_till}
  end
  local left = group.till - now
  if not is_own or left * 3 < lease * 2 or left > lease then
    if not is_own then
      group.fence = math.max(group.fence + 1, micros)
      group.holder, group.name, group.wish_till = holder, name, 0
      is_wished = false
    end
    group.till = now_up + lease
    write_group(groups, head, group_name, group, is_new, margin)
  end
  local from = math.max(group.cursor + 1, head.first)
  local wish = is_wished and group.wish or -1
  local reply = {'events', group.fence, group.till, group.till - now, wish,
    from - group.cursor - 1, head.last - from + 1}
  local average = (head.bytes - head.before) / math.max(head.last - head.first + 1, 1)
  local failure = add_pages(reply, events, from, head.last, most, average, budget)
  return failure and {'failed', failure} or reply
end
