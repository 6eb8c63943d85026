-- Writes what moves.lua has collected.
-- needs: call, completed, count, dead, due, first_score, jobs, keep_finished, many, meta, moved
-- needs: new_moves, ready, release, state, wake, write_batches

-- Adding: index entry, state, then record or batch; removing: record, then the rest. `moving` names
-- the batches of which jobs become single ones: see `repair`.
local function flush(bounds)
  local is_news, moving, moves = false, {}, moved
  moved = new_moves()
  local first_due = moves.entered[due][1] and first_score(due) or math.huge
  for id in pairs(moves.moving) do moving[#moving + 1] = id end
  if moving[1] then call('HSET', meta, 'moving', table.concat(moving)) end
  for i = 1, #moves.entered[due], 2 do
    is_news = is_news or tonumber(moves.entered[due][i]) < first_due
  end
  for index, entries in pairs(moves.entered) do many('ZADD', index, entries) end
  for priority = 0, 3 do
    is_news = is_news or #moves.tails[priority] + #moves.heads[priority] > 0
    many('RPUSH', ready(priority), moves.tails[priority])
    many('LPUSH', ready(priority), moves.heads[priority])
  end
  many('HSET', state, moves.states)
  many('HSET', jobs, moves.records)
  write_batches()
  if moving[1] then call('HDEL', meta, 'moving') end
  many('HDEL', jobs, moves.forgotten)
  many('HDEL', state, moves.forgotten)
  for i = 1, #moves.freed, 2 do release(moves.freed[i], moves.freed[i + 1]) end
  for index, members in pairs(moves.left) do many('ZREM', index, members) end
  for field, more in pairs(moves.counts) do count(field, more) end
  if #moves.entered[dead] + #moves.entered[completed] > 0 then
    keep_finished(bounds, moves.entered[dead], moves.entered[completed])
  end
  if is_news then wake() end
end
