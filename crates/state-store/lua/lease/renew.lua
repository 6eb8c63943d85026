-- Makes leases that are still held last for another time, from now.
-- KEYS     strings, the leases: see acquire.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each lease: fence (16 digits), how long it lasts (ms), that and how long its fence is remembered
--          behind it (ms)
-- Returns  'each', then for each lease: 'renewed', until ms | 'lost' | 'failed', error
-- Retry    sets it again, from then
-- Cost     O(leases)
local format, sub, byte, pcall, reply = string.format, string.sub, string.byte, redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local at, lease, answer = 3 * index - 1, pcall('GET', key), 'lost'
  if type(lease) == 'table' then
    answer = {'failed', lease.err}
  elseif lease and sub(lease, 1, 16) == ARGV[at] and byte(lease, 32) == 104 then
    local till = tonumber(sub(lease, 17, 31))
    if till and till > now then
      till = now + ARGV[at + 1]
      call('SET', key, ARGV[at] .. format('%015d', till) .. sub(lease, 32), 'PX', ARGV[at + 2])
      answer = {'renewed', till}
    end
  end
  reply[index + 1] = answer
end
return reply
