-- topic/read: takes partitions for consumers of groups, or renews their leases, and reads events.
-- KEYS     for each read: the partition's events (stream) and groups (hash), see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how much later than its end a partition may be collected (ms)
-- ARGV[4]  how long the wish of a consumer lasts (ms)
-- ARGV[5]  how many groups a topic may have
-- ARGV[6]  the command that notifies the holder of a partition: see notify_watchers.lua
-- ARGV     from 7 on, for each read: group, identity of the consumer (16 bytes), its name, lease
--          (ms), how many events at most, how many partitions it holds, how long a new partition
--          lasts (ms)
-- Returns  'each', then for each read: 'events', fence, until, left, how many partitions a consumer
--          holds that wants this one (-1: none does), how many events were removed before they were
--          read, lag, pages of the stream (none after 1 MiB of all reads) | 'taken', holder, until
--          ms | 'failed', error
-- Retry    recognised by the identity of the consumer
-- Cost     O(events)
-- needs: read_events
local margin, wishing, most_groups = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- A reply that waits for a slow client takes the server's memory.
local budget = {left = 1048576, is_shared = #KEYS > 2}
local reply = {'each'}
for index = 1, #KEYS, 2 do
  local at = 7 + 7 * (index - 1) / 2
  local group, holder, name, lease, most, holding, keeps = unpack(ARGV, at, at + 6)
  reply[#reply + 1] = read_events(KEYS[index], KEYS[index + 1], group, holder, name,
    tonumber(lease), tonumber(most), tonumber(holding), tonumber(keeps), margin, wishing,
    most_groups, budget, ARGV[6])
end
return reply
