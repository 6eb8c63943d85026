-- topic/deliver: appends the event of an entry of an outbox, and removes what exceeds the bounds.
-- KEYS[1]  events (stream): see record.lua
-- KEYS[2]  groups (hash): see record.lua
-- KEYS[3]  the remembered call (string: the number of the event; negative before it is appended)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a partition may be collected (ms)
-- ARGV[4]  the command that notifies consumers: see notify_watchers.lua
-- ARGV[5]  the bytes of the key and the payload
-- ARGV[6]  the bounds: age (ms); ARGV[7] events; ARGV[8] bytes
-- ARGV[9]  how long the partition lasts (ms)
-- ARGV[10] how long the call is remembered (ms)
-- ARGV[11] the mark of the event: a number above 0 that depends on the entry
-- ARGV[12] the event as the stream has it
-- Returns  'appended', number of the event
-- Retry    recognised by the remembered call, and, if the call was interrupted, by the mark
-- Cost     O(1), and O(log bound) if a bound is exceeded by a sixteenth
-- needs: append_events, notify_watchers
local reply = append_events(KEYS[1], KEYS[2], KEYS[3], ARGV, 12, 1, tonumber(ARGV[5]),
  tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[3]),
  ARGV[10], ARGV[11])
if reply[1] == 'failed' then return redis.error_reply(reply[2]) end
notify_watchers(ARGV[4], KEYS[1])
return reply
