-- Unique keys. An entry: c, f (until claimed, finished) or e and the end in ms (16 digits), then
-- the id of the holder.

-- The unique key of a record, and where the record continues behind it; nil without one.
local function unique_of(record)
  local flags = byte(record, 2)
  if flags % 4 == 0 then return nil end
  local at = flags % 8 >= 4 and 16 or 10
  local size = byte(record, at)
  return sub(record, at + 1, at + size), at + size + 1
end

-- The holder of a key. One that is gone or finished does not count: a script may have been
-- interrupted before it released the key.
local function holder_of(key)
  local entry = call('HGET', unique, key)
  if not entry then return nil end
  if sub(entry, 1, 1) == 'e' then
    return tonumber(sub(entry, 2, 17)) > now and sub(entry, 18) or nil
  end
  local id = sub(entry, 2)
  local s = call('HGET', state, id)
  local status, was_claimed = s and sub(s, 1, 1), s and byte(s, 27) % 32 < 16
  local is_over = status == 'd' or status == 'c' or was_claimed and sub(entry, 1, 1) == 'c'
    or call('HEXISTS', jobs, id) == 0
  return not is_over and id or nil
end

-- Releases a key if this job holds it until it is claimed or finished.
local function release(key, id)
  local entry = call('HGET', unique, key)
  if entry and sub(entry, 1, 1) ~= 'e' and sub(entry, 2) == id then call('HDEL', unique, key) end
end

-- Removes up to `most` unique keys whose time is over.
local function collect_unique(most)
  local over = call('ZRANGEBYSCORE', unique_until, '-inf', decimal(now), 'LIMIT', 0, most)
  for _, key in ipairs(over) do
    local entry = call('HGET', unique, key)
    if entry and sub(entry, 1, 1) == 'e' and tonumber(sub(entry, 2, 17)) <= now then
      call('HDEL', unique, key)
    end
    call('ZREM', unique_until, key)
  end
end
