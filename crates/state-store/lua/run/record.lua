-- A run, in a hash:
--   run     layout, state, version (16 digits), created (µs, 16), updated, ended (0: it has not),
--           until when it lasts, how long after a write (ms, 15 each), fence (16, 0: none), first
--           event, next event (16 each), bytes of its events (8), how many it keeps (5), request of
--           the last write that changed it (16 bytes), length of the agent (3), agent, session
--   input, output, await, error    payloads
--   e0 …    events: layout, time (ms, 15 digits), request (16 bytes), length of the kind (2
--           digits), kind, data
-- State: `c` created, `p` in progress, `a` awaiting, `d` completed, `f` failed, `x` cancelling,
-- `z` cancelled.
-- needs: call, now, now_up, layout, unreadable
local function int(number) return string.format('%d', number) end

-- Reads a run, which may have expired; nil if there is none. Or nil and an error.
local function read_run(key)
  local head, cut = redis.pcall('HGET', key, 'run'), string.sub
  if type(head) == 'table' then return nil, head.err end
  if not head then return nil end
  local failure, digits = unreadable(head), cut(head, 3, 155)
  if not failure and (#head < 174 or string.find(digits, '%D')) then
    failure = 'TWCORRUPT the entry is no run'
  end
  if failure then return nil, failure end
  local run = {key = key, state = cut(head, 2, 2), version = tonumber(cut(head, 3, 18))}
  run.created, run.updated, run.ended = cut(head, 19, 34), cut(head, 35, 49), cut(head, 50, 64)
  run.till, run.ttl, run.fence = tonumber(cut(head, 65, 79)), cut(head, 80, 94), cut(head, 95, 110)
  run.first, run.next = tonumber(cut(head, 111, 126)), tonumber(cut(head, 127, 142))
  run.bytes, run.most = tonumber(cut(head, 143, 150)), tonumber(cut(head, 151, 155))
  run.request, run.names = cut(head, 156, 171), cut(head, 172)
  run.is_expired = run.till <= now
  return run
end

local function run_head(run)
  local times = run.created .. run.updated .. run.ended .. string.format('%015d', run.till)
  local numbers = string.format('%016d%016d%08d%05d', run.first, run.next, run.bytes, run.most)
  local head = layout .. run.state .. string.format('%016d', run.version) .. times .. run.ttl
  return head .. run.fence .. numbers .. run.request .. run.names
end

-- Writes a run and these fields with one command, and prolongs it. It may be collected `margin`
-- (ms) after its end.
local function put_run(run, fields, margin)
  run.till = math.max(run.till, now_up + tonumber(run.ttl))
  local head = run_head(run)
  call('HSET', run.key, 'run', head, unpack(fields))
  call('PEXPIRE', run.key, int(run.till - now + margin))
  return head
end

-- Adds an event to the fields that will be written.
local function add_event(run, fields, request, kind, data)
  local value = layout .. string.format('%015d', now) .. request .. string.format('%02d', #kind)
  value = value .. kind .. data
  fields[#fields + 1], fields[#fields + 2] = 'e' .. int(run.next), value
  run.next, run.bytes = run.next + 1, run.bytes + #value
end
