-- topic/acknowledge: moves the cursors of groups behind events that they have handled.
-- KEYS     for each group: the partition's events (stream) and groups (hash): see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each group: its name, the fence of the lease, the number of the event,
--          the last event that was read (0: unknown) and when it was appended (ms)
-- Returns  'each', then for each group: 'acknowledged' | 'superseded' | 'failed', error
-- Retry    leads to the same cursor; writes again, so that WAIT covers it
-- Cost     3 commands for each group, O(log events)
-- needs: acknowledge_events
local reply = {'each'}
for index = 1, #KEYS, 2 do
  local at = 3 + 5 * (index - 1) / 2
  local name, fence, number, last, appended = unpack(ARGV, at, at + 4)
  reply[#reply + 1] = acknowledge_events(KEYS[index], KEYS[index + 1], name, tonumber(fence),
    tonumber(number), tonumber(last), tonumber(appended))
end
return reply
