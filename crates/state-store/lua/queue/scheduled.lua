-- Lists scheduled jobs: those that stand alone and those on shelves, in one order.

-- The lone jobs behind a time and member, one after the other: a table with the next one.
local function lone_from(seen_at, seen)
  local rank, next_one = rank_behind(due, seen_at, seen), { i = 0, ids = {} }
  function next_one.advance()
    next_one.i = next_one.i + 1
    if next_one.i > #next_one.ids then
      next_one.ids, next_one.times, next_one.members = entries(due, rank)
      rank, pages, next_one.i = rank + #next_one.ids, pages + 1, 1
      local is_any = #next_one.ids > 0
      next_one.records = is_any and call('HMGET', jobs, unpack(next_one.ids))
      next_one.states = is_any and call('HMGET', state, unpack(next_one.ids))
    end
    next_one.member = next_one.members[next_one.i]
    next_one.time = tonumber(next_one.times[next_one.i])
  end
  next_one.advance()
  return next_one
end

-- The same of those on shelves.
local function shelved_from(seen_at, seen)
  local rank, next_one = seen_at and math.max(rank_on_shelves(seen_at, seen) - 1, 0) or 0, { i = 0, one = { n = 0 } }
  local function number_at(place) return sub(call('ZRANGE', shelves_due, place, place)[1], -5) end
  -- An entry may precede its shelf.
  while rank > 0 and call('HEXISTS', shelves, number_at(rank)) == 0 do rank = rank - 1 end
  local function is_seen()
    return seen_at and (next_one.time < tonumber(seen_at)
      or next_one.time == tonumber(seen_at) and not is_before(seen, next_one.member))
  end
  function next_one.advance()
    repeat
      next_one.i = next_one.i + 1
      while next_one.i > next_one.one.n do
        local entry = call('ZRANGE', shelves_due, rank, rank)[1]
        next_one.member, rank = nil, rank + 1
        if not entry then return end
        -- A shelf may have two entries.
        local number = sub(entry, -5)
        local packed = number ~= next_one.number and call('HGET', shelves, number)
        next_one.one, next_one.i, next_one.number = packed and opened(packed) or { n = 0 }, 1, number
      end
      next_one.time, next_one.member = due_at(next_one.one, next_one.i), member_at(next_one.one, next_one.i)
    until not is_seen()
  end
  next_one.advance()
  return next_one
end

-- Goes on behind a time and member, or at the beginning. Whether this is the end.
local function list_scheduled(seen_at, seen)
  local lone, on_shelf = lone_from(seen_at, seen), shelved_from(seen_at, seen)
  while found < limit and room > 0 and pages < 40 do
    if not lone.member and not on_shelf.member then return true end
    local is_lone = lone.member and (not on_shelf.member or lone.time < on_shelf.time
      or lone.time == on_shelf.time and is_before(lone.member, on_shelf.member))
    local from = is_lone and lone or on_shelf
    if is_lone then
      show(lone.ids[lone.i], lone.times[lone.i], lone.records[lone.i], lone.states[lone.i])
    else
      show(sub(on_shelf.member, 2), decimal(on_shelf.time), record_at(on_shelf.one, on_shelf.i), nil)
    end
    reply[2], reply[3] = decimal(from.time), from.member
    from.advance()
  end
  return false
end
