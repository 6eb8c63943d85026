-- Removes up to `most` unique keys whose time is over.
local function collect_unique(most)
  for _, key in ipairs(call('ZRANGEBYSCORE', unique_until, '-inf', decimal(now), 'LIMIT', 0, most)) do
    local entry = call('HGET', unique, key)
    if entry and sub(entry, 1, 1) == 'e' and tonumber(sub(entry, 2, 17)) <= now then call('HDEL', unique, key) end
    call('ZREM', unique_until, key)
  end
end
