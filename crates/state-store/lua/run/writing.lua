-- Writing a run: its state, its payloads, its events. `words`: see write.lua.
-- needs: call, now, now_digits, layout, micros, is_repeat, int, read_run, run_parts, prolong
-- needs: put_run, put_again, add_event
local any, new_version = string.rep('-', 16), string.format('%016d', micros)

-- Whether the log has an event of this request, which is not older than `remembered` (ms). nil if
-- such an event may have been removed.
local function has_request(key, head, request, remembered)
  local cut = string.sub
  local oldest, behind = tonumber(cut(head, 111, 126)), tonumber(cut(head, 127, 142))
  while behind > oldest do
    local fields, from = {}, math.max(oldest, behind - 100)
    for number = from, behind - 1 do fields[#fields + 1] = 'e' .. int(number) end
    local events = call('HMGET', key, unpack(fields))
    for index = #fields, 1, -1 do
      local event = events[index] or ''
      if cut(event, 17, 32) == request then return true end
      if (tonumber(cut(event, 2, 16)) or 0) + remembered < now then return false end
    end
    behind = from
  end
  if oldest == 0 then return false end
  return nil
end

-- Whether this write was done before; see has_request.
local function was_written(key, head, request, sequence, remembered)
  if sequence ~= any then
    local event = call('HGET', key, 'e' .. int(sequence))
    if event and string.sub(event, 17, 32) == request then return true end
  end
  return is_repeat and has_request(key, head, request, remembered)
end

-- Adds the events of `list` from `at` to `last`, and that of a transition, to the fields that will
-- be written. Returns the log, and the events that it keeps no longer, as fields.
local function append_events(key, log, fields, request, list, at, last, transition, most_bytes)
  local oldest, number, bytes, most = struct.unpack('c16c16c8c5', log)
  local gone, kept_from = nil, oldest + 0
  for index = at, last, 2 do
    bytes = bytes + add_event(fields, number, request, list[index], list[index + 1])
    number = number + 1
  end
  if transition then
    bytes, number = bytes + add_event(fields, number, request, transition, ''), number + 1
  end
  while number - kept_from > tonumber(most) or bytes > most_bytes do
    local field = 'e' .. int(kept_from)
    kept_from, bytes = kept_from + 1, bytes - call('HSTRLEN', key, field)
    gone = gone or {}
    gone[#gone + 1] = field
  end
  if gone then oldest = string.format('%016d', kept_from) end
  return oldest .. string.format('%016d%08d', number, bytes) .. most, gone
end

-- Writes the run at `key` as `list` says from `at` on. Returns its answer, and where `list`
-- continues.
-- 'done', run | 'conflict', run | 'illegal', run | 'superseded', fence | 'absent' | 'lost': whether
-- it was done is not known | 'failed', error
local function write_run(key, list, at, margin, most_bytes)
  local words = list[at]
  local request, version, sequence, given, to, payloads, events, remembered, legal, name =
    struct.unpack('c16c16c16c16c1c1c2c10c7', words)
  local changes, first_event = to ~= '-' or payloads ~= '0', at + 1 + 2 * payloads
  local behind = first_event + 2 * events
  local head, failure = read_run(key)
  if failure then return {'failed', failure}, behind end
  if not head then return {'absent'}, behind end
  local was, last, created, updated, ended, till, ttl, fence, log, writer = run_parts(head)
  if till <= now_digits then return {'absent'}, behind end
  local written = changes and writer == request
    or was_written(key, head, request, sequence, remembered)
  if written then return {'done', put_again(key, head, margin)}, behind end
  if given ~= any and given < fence then return {'superseded', tonumber(fence)}, behind end
  if (version ~= any and version ~= last)
    or (sequence ~= any and sequence ~= string.sub(log, 17, 32)) then
    return {'conflict', head}, behind
  end
  if not string.find(legal, was, 1, true) then return {'illegal', head}, behind end
  if written == nil and version == any and sequence == any then return {'lost'}, behind end

  local fields, transition, gone = {unpack(list, at + 1, first_event - 1)}, nil, nil
  if changes then
    if to == '-' then to = was end
    if to ~= was then transition = string.sub(words, name) end
    if string.find('dfz', to, 1, true) then ended = now_digits end
    last = last < new_version and new_version or string.format('%016d', last + 1)
    updated, writer = now_digits, request
  else
    to = was
  end
  if transition or first_event < behind then
    log, gone = append_events(key, log, fields, request, list, first_event, behind - 1,
      transition, most_bytes)
  end
  if given > fence then fence = given end
  -- The record first: it no longer names the events that are removed after it.
  local later, left = prolong(till, ttl, margin)
  head = layout .. to .. last .. created .. updated .. ended .. later .. ttl .. fence .. log
    .. writer .. string.sub(head, 172)
  put_run(key, head, left, fields)
  for from = 1, gone and #gone or 0, 1000 do
    call('HDEL', key, unpack(gone, from, math.min(from + 999, #gone)))
  end
  return {'done', head}, behind
end
