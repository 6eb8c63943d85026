-- A run, in a hash:
--   run     layout, state, version (16 digits), created (µs, 16), updated, ended (0: it has not),
--           until when it lasts, how long after a write (ms, 15 each), fence (16, 0: none), first
--           event, next event (16 each), bytes of its events (8), how many it keeps (5), request of
--           the last write that changed it (16 bytes), length of the agent (3), agent, session
--   input, output, await, error    payloads
--   e0 …    events: layout, time (ms, 15 digits), request (16 bytes), length of the kind (2
--           digits), kind, data
-- State: `c` created, `p` in progress, `a` awaiting, `d` completed, `f` failed, `x` cancelling,
-- `z` cancelled. Scripts keep the text: numbers of one length sort as text does.
-- needs: call, now, now_up, layout, unreadable
local function int(number) return string.format('%d', number) end

local now_digits = string.format('%015d', now)

-- Reads what is in `run`; nil if there is no run. Or nil, an error, and what was found instead:
-- what is in `run`, or the error of reading it.
local function read_run(key)
  local head = redis.pcall('HGET', key, 'run')
  if not head then return nil end
  if type(head) == 'table' then return nil, head.err, head.err end
  local failure = unreadable(head)
  if not failure and (#head < 174 or not tonumber(string.sub(head, 65, 79))) then
    failure = 'TWCORRUPT the entry is no run'
  end
  if failure then return nil, failure, head end
  return head
end

-- The parts of what is in `run`: state, version, created, updated, ended, until when it lasts, TTL,
-- fence, log, request. The log: first event, next event, bytes of events, how many are kept.
local function run_parts(head)
  return struct.unpack('c1c16c16c15c15c15c15c16c45c16', head, 2)
end

-- For each TTL of a run: until when one lasts that is written now, and the TTL of its key (ms).
local lasting = {}

-- Until when a run lasts that lasted until `till` and is written now, and the TTL of its key: it
-- may be collected `margin` (ms) after its end.
local function prolong(till, ttl, margin)
  local found = lasting[ttl]
  if not found then
    local later = now_up + ttl
    found = {string.format('%015d', later), int(later - now + margin)}
    lasting[ttl] = found
  end
  if found[1] >= till then return found[1], found[2] end
  return till, int(till - now + margin)
end

-- Writes a run and these fields with one command.
local function put_run(key, head, left, fields)
  call('HSET', key, 'run', head, unpack(fields))
  call('PEXPIRE', key, left)
  return head
end

-- Writes again: a durable call waits for the last write of its connection.
local function put_again(key, head, margin)
  local before, till, ttl, rest = struct.unpack('c64c15c15', head)
  local left
  till, left = prolong(till, ttl, margin)
  return put_run(key, before .. till .. ttl .. string.sub(head, rest), left, {})
end

-- Adds an event to the fields that will be written. Returns its size.
local function add_event(fields, number, request, kind, data)
  local value = layout .. now_digits .. request .. string.format('%02d', #kind) .. kind .. data
  fields[#fields + 1], fields[#fields + 2] = 'e' .. int(number), value
  return #value
end
