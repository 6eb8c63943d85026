-- topic/acknowledge: moves the cursors of groups behind events that they have handled.
-- KEYS     for each group: the partition's groups (hash): see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each group: its name, the fence of the lease, the number of the event
-- Returns  'each', then for each group: 'acknowledged' | 'superseded' | 'failed', error
-- Retry    leads to the same cursor; writes again, so that WAIT covers it
-- Cost     O(groups)
-- needs: acknowledge_events
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local name, fence, number = unpack(ARGV, 3 * index, 3 * index + 2)
  reply[index + 1] = acknowledge_events(key, name, tonumber(fence), tonumber(number))
end
return reply
