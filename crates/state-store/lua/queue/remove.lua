-- Removes jobs.
-- needs: bit_of, byte, call, count, due, jobs, leave, release, state, unique_of

-- Removes a job that was found and does not run; a batch is written later.
local function remove(id, place, record, batch, position)
  if place == 'ready' or place == 'scheduled' then count(-1, place == 'scheduled' and -1 or 0, 0) end
  if batch then return leave(batch, bit_of(position)) end
  call('HDEL', jobs, id)
  call('HDEL', state, id)
  call('ZREM', due, byte(record, 3) .. id)
  local key = unique_of(record)
  if key then release(key, id) end
end
