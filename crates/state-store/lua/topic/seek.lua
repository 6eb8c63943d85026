-- topic/seek: moves the cursor of a group in a partition, and ends the lease.
-- KEYS[1]  events (stream): see record.lua
-- KEYS[2]  groups (hash): see record.lua
-- KEYS[3]  the remembered call: see once.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a partition may be collected (ms)
-- ARGV[4]  how many groups a topic may have
-- ARGV[5]  how long a new partition lasts (ms)
-- ARGV[6]  group
-- ARGV[7]  before which event: `start` the oldest, `end` after the last, `event` that with the
--          number, `time` the first at the time or later
-- ARGV[8]  number of the event, or time (ms)
-- ARGV[9]  how long the call is remembered (ms)
-- Returns  'moved'
-- Retry    recognised by the remembered call
-- Cost     O(1), for a time O(log events)
-- needs: micros, field_of, nobody, open_group, write_group, remember
local head, group, is_new = open_group(KEYS[1], KEYS[2], ARGV[6], tonumber(ARGV[5]),
  tonumber(ARGV[4]))
if not head then return redis.error_reply(group) end
local to, low, high = ARGV[7], head.first, head.last + 1
if to == 'end' then
  low = high
elseif to == 'event' then
  low = math.max(low, math.min(tonumber(ARGV[8]), high))
elseif to == 'time' then
  while low < high do
    local middle = math.floor((low + high) / 2)
    local at = field_of(KEYS[1], middle)
    if at and at < tonumber(ARGV[8]) then low = middle + 1 else high = middle end
  end
end
group.cursor, group.fence = low - 1, math.max(group.fence + 1, micros)
group.till, group.holder = 0, nobody
write_group(KEYS[2], head, ARGV[6], group, is_new, tonumber(ARGV[3]))
return remember({'moved'})
