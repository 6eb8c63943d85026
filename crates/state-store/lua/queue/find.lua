-- Where a job is: 'ready', 'scheduled', 'running', 'completed' or 'dead', its record, its state or '', and the time in ms that
-- belongs to the place, or ''. 'unknown' when there is none; also a completed one whose time is over.
local function find(id)
  local record, s = call('HGET', jobs, id), call('HGET', state, id)
  if not record then return 'unknown' end
  local status = s and sub(s, 1, 1) or 'w'
  if status == 'w' then
    local at = call('ZSCORE', due, byte(record, 3) .. id)
    return at and 'scheduled' or 'ready', record, s or '', at or ''
  elseif status == 'r' then
    return 'running', record, s, call('ZSCORE', leased, id) or '0'
  elseif status == 'd' then
    return 'dead', record, s, call('ZSCORE', dead, id) or '0'
  end
  local at = call('ZSCORE', completed, id) or '0'
  if tonumber(at) <= now then return 'unknown' end
  return 'completed', record, s, at
end

-- Forgets a job that was found and does not run.
local function remove(id, record)
  call('HDEL', jobs, id)
  call('HDEL', state, id)
  local key = unique_of(record)
  if key then release(key, id) end
  call('ZREM', due, byte(record, 3) .. id)
end
