-- Collects a page of jobs.
-- needs: add, byte, call, completed, contains, decimal, due_in, is_due, job_id, jobs, last_error
-- needs: lease_of, now, read_batch, ready_in, record_in, running, scheduled_in, state, sub

-- Whether a member comes before another one as the server orders them: by bytes.
local function is_before(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = byte(one, i), byte(other, i)
    if a ~= b then return a < b end
  end
  return #one < #other
end

-- The rank of the first entry of a sorted set behind a score and a member. Without a score: of the first
-- whose time is not over among the completed ones, else of the first of all.
local function rank_behind(key, score, member)
  if not score then return key == completed and call('ZCOUNT', key, '-inf', decimal(now)) or 0 end
  local low, high = 0, call('ZCARD', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = call('ZRANGE', key, middle, middle, 'WITHSCORES')
    local at = tonumber(entry[2])
    if at < tonumber(score) or at == tonumber(score) and not is_before(member, entry[1]) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- A page of at most `limit` jobs in a state, for which about `room` bytes are read.
local function new_page(place, limit, room)
  return { place = place, left = limit, room = room, items = {} }
end

local function is_full(page) return page.left == 0 or page.room <= 0 end

local function show(page, id, record, s, at)
  local shown = s and sub(s, 1, 30 + byte(s, 28) + #(last_error(s) or '')) or ''
  add(page.items, id, sub(record, 1, 9) .. sub(record, -6))
  add(page.items, shown, at)
  page.left, page.room = page.left - 1, page.room - #record - #(s or '')
end

local statuses = { ready = 'w', scheduled = 'w', running = 'r', completed = 'c', dead = 'd' }

-- Shows a single job if it is in this state.
local function show_single(page, id, at)
  local record, s = call('HGET', jobs, id), call('HGET', state, id)
  if not record or (s and sub(s, 1, 1) or 'w') ~= statuses[page.place] then return end
  if page.place == 'ready' and is_due(id, record, s) then return end
  show(page, id, record, s, at)
end

-- The positions of a batch that are in this state.
local function positions_in(page, batch, blob)
  if page.place == 'ready' then return ready_in(batch, blob) end
  if page.place == 'scheduled' then return scheduled_in(batch, blob) end
  local low, high = 0, 0
  for _, lease in ipairs(batch.leases) do low, high = low + lease.low, high + lease.high end
  return low, high
end

-- Shows the jobs of a batch behind a position. Returns the last position shown if the page is full.
local function show_batch(page, id, behind)
  local batch, blob = read_batch(id), call('HGET', jobs, id)
  if not batch or not blob then return nil end
  local low, high = positions_in(page, batch, blob)
  for position = behind + 1, byte(blob) - 1 do
    if contains(low, high, position) then
      if is_full(page) then return position - 1 end
      local lease, record, at, s = lease_of(batch, position), record_in(blob, position) .. batch.at, '', nil
      if lease then
        s, at = running(lease.fence, 1, sub(record, 3, 9), 0, lease.worker), decimal(lease.ends)
      elseif page.place == 'scheduled' then
        at = decimal(due_in(batch, blob, position))
      end
      show(page, job_id(id, position), record, s, at)
    end
  end
end
