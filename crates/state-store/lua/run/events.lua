-- run/events: events of a run, in order.
-- KEYS[1]  hash, the run: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  the sequence of the first; if there is none and it is not the next: from the oldest on
-- ARGV[4]  how many, at most
-- ARGV[5]  how many bytes, at most, but for the last ones
-- Returns  'events', state, first and next event of the run, sequence of the first that follows,
--          then the events | 'absent'
-- Retry    reads
-- Cost     O(events), and their bytes
-- needs: call, now, unreadable
local head = call('HGET', KEYS[1], 'run')
if not head then return {'absent'} end
if unreadable(head) then return redis.error_reply(unreadable(head)) end
local sub = string.sub
local till = tonumber(sub(head, 65, 79))
if not till then return redis.error_reply('TWCORRUPT the entry is no run') end
if till <= now then return {'absent'} end
local first, following = tonumber(sub(head, 111, 126)), tonumber(sub(head, 127, 142))
local from, bytes = tonumber(ARGV[3]), tonumber(ARGV[5])
-- The log has lost events, or it is that of another run.
if from < first or from > following then from = first end
local behind = math.min(from + ARGV[4], following)
local reply = {'events', sub(head, 2, 2), sub(head, 111, 126), sub(head, 127, 142), from}
while from < behind and bytes > 0 do
  local fields, last = {}, math.min(from + 20, behind)
  for number = from, last - 1 do fields[#fields + 1] = 'e' .. string.format('%d', number) end
  for index, event in ipairs(call('HMGET', KEYS[1], unpack(fields))) do
    if not event then return redis.error_reply('TWCORRUPT an event of the run is missing') end
    if unreadable(event) then return redis.error_reply(unreadable(event)) end
    if bytes > 0 then reply[#reply + 1] = event end
    bytes = bytes - #event
  end
  from = last
end
return reply
