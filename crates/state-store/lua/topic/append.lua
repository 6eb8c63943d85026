-- topic/append: appends events to partitions of topics, and removes what exceeds their bounds.
-- KEYS     for each call: the partition's events (stream) and groups (hash), see record.lua; the
--          remembered call (string: the number of its first event)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a partition may be collected (ms)
-- ARGV[4]  the command that notifies consumers: see notify_watchers.lua
-- ARGV     from 5 on, for each call: how many events, the bytes of their keys and payloads, the
--          bounds: age (ms), events, bytes; how long the partition lasts (ms), how long the call is
--          remembered (ms), the events as the stream has them
-- Returns  'each', then for each call: 'appended', number of the first event | 'failed', error
-- Retry    recognised by the remembered call; then writes it again, so that WAIT covers it
-- Cost     O(events), and O(log bound) if a bound is exceeded by a sixteenth
-- needs: append_events, notify_watchers
local margin, reply, at = tonumber(ARGV[3]), {'each'}, 5
for index = 1, #KEYS, 3 do
  local count, bytes, age, most, most_bytes, keeps, remembered = unpack(ARGV, at, at + 6)
  count = tonumber(count)
  reply[#reply + 1] = append_events(KEYS[index], KEYS[index + 1], KEYS[index + 2], ARGV, at + 7,
    count, tonumber(bytes), tonumber(age), tonumber(most), tonumber(most_bytes), tonumber(keeps),
    margin, remembered, '0')
  at = at + 7 + count
end
local notified = {}
for index = 1, #KEYS, 3 do
  local events = KEYS[index]
  if reply[(index + 5) / 3][1] == 'appended' and not notified[events] then
    notified[events] = true
    notify_watchers(ARGV[4], events)
  end
end
return reply
