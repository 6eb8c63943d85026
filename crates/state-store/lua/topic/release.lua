-- topic/release: gives partitions back.
-- KEYS     for each group: the partition's groups (hash): see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each group: its name, the fence of the lease
-- Returns  'each', then for each group: 'released' | 'superseded' | 'failed', error
-- Retry    leads to the same entry
-- Cost     O(groups)
-- needs: release_partition
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local name, fence = unpack(ARGV, 2 * index + 1, 2 * index + 2)
  reply[index + 1] = release_partition(key, name, tonumber(fence))
end
return reply
