-- Writing a run: its state, its payloads, its events.
-- needs: call, now, micros, is_repeat, int, read_run, run_head, put_run, add_event
-- The write whose arguments begin at `at` (see write.lua), and where those of the next one begin.
local function read_write(at)
  local write = {payloads = {}, events = {}}
  write.request, write.remembered, write.version = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  write.sequence, write.fence, write.from = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  write.to, write.name, write.ends = ARGV[at + 6], ARGV[at + 7], ARGV[at + 8] == '1'
  local pairs_of, payloads = tonumber(ARGV[at + 9]), tonumber(ARGV[at + 10])
  at = at + 11
  for number = 1, pairs_of do
    local into = number <= payloads and write.payloads or write.events
    into[#into + 1], into[#into + 2] = ARGV[at], ARGV[at + 1]
    at = at + 2
  end
  write.changes = write.to ~= '' or payloads > 0
  return write, at
end

-- Whether the log has an event of this request, which is not older than `remembered` (ms). nil if
-- such an event may have been removed.
local function has_request(run, request, remembered)
  local behind, cut = run.next, string.sub
  while behind > run.first do
    local fields, from = {}, math.max(run.first, behind - 100)
    for number = from, behind - 1 do fields[#fields + 1] = 'e' .. int(number) end
    local events = call('HMGET', run.key, unpack(fields))
    for index = #fields, 1, -1 do
      local event = events[index] or ''
      if cut(event, 17, 32) == request then return true end
      if (tonumber(cut(event, 2, 16)) or 0) + remembered < now then return false end
    end
    behind = from
  end
  if run.first == 0 then return false end
  return nil
end

-- Whether this write was done before; see has_request.
local function was_written(run, write)
  if write.changes and run.request == write.request then return true end
  if write.sequence ~= '' then
    local event = call('HGET', run.key, 'e' .. write.sequence)
    if event and string.sub(event, 17, 32) == write.request then return true end
  end
  return is_repeat and has_request(run, write.request, write.remembered)
end

-- Why the write cannot be done: an answer, or nil.
local function refuse_write(run, write)
  if write.fence ~= '' and write.fence < run.fence then
    return {'superseded', tonumber(run.fence)}
  end
  local version, sequence = tonumber(write.version), tonumber(write.sequence)
  if (version or run.version) ~= run.version or (sequence or run.next) ~= run.next then
    return {'conflict', run_head(run)}
  end
  if not string.find(write.from, run.state, 1, true) then return {'illegal', run_head(run)} end
  return nil
end

-- The events that the log keeps no longer, as fields. Counts them as removed.
local function trim_events(run, most_bytes)
  local gone = {}
  while run.next - run.first > run.most or run.bytes > most_bytes do
    local field = 'e' .. int(run.first)
    run.first, run.bytes = run.first + 1, run.bytes - call('HSTRLEN', run.key, field)
    gone[#gone + 1] = field
  end
  return gone
end

-- Writes the run at `key`. 'done', run | 'conflict', run | 'illegal', run | 'superseded', fence |
-- 'absent' | 'lost': whether it was done is not known | 'failed', error
local function write_run(key, write, margin, most_bytes)
  local run, failure = read_run(key)
  if failure then return {'failed', failure} end
  if not run or run.is_expired then return {'absent'} end
  local written = was_written(run, write)
  if written then return {'done', put_run(run, {}, margin)} end
  local refusal = refuse_write(run, write)
  if refusal then return refusal end
  if written == nil and write.version == '' and write.sequence == '' then return {'lost'} end
  local fields, is_transition = write.payloads, write.to ~= '' and write.to ~= run.state
  for index = 1, #write.events, 2 do
    add_event(run, fields, write.request, write.events[index], write.events[index + 1])
  end
  if write.changes then
    run.version, run.request = math.max(micros, run.version + 1), write.request
    run.updated = string.format('%015d', now)
  end
  if is_transition then
    run.state = write.to
    if write.ends then run.ended = run.updated end
    add_event(run, fields, write.request, write.name, '')
  end
  if write.fence > run.fence then run.fence = write.fence end
  -- The record first: it no longer names the events that are removed after it.
  local gone = trim_events(run, most_bytes)
  local head = put_run(run, fields, margin)
  for from = 1, #gone, 1000 do
    call('HDEL', key, unpack(gone, from, math.min(from + 999, #gone)))
  end
  return {'done', head}
end
