-- lease/renew: renews leases that are still held, from now on.
-- KEYS     strings, the leases: see acquire.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each lease: fence (16 digits), sequence (16 digits), how long it lasts
--          (ms), how long its fence is remembered from now on (ms)
-- Returns  'each', then for each lease: 'renewed', until ms | 'lost' | 'failed', error
-- Retry    recognised by its sequence: one that is not above the last sequence changes nothing
-- Cost     O(leases)
-- needs: call, now, now_up
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local at, lease, answer = 4 * index - 2, pcall('GET', key), 'lost'
  if type(lease) == 'table' then
    answer = {'failed', lease.err}
  elseif lease and sub(lease, 1, 16) == ARGV[at] and byte(lease, 32) == 104 then
    local till = tonumber(sub(lease, 17, 31))
    if till and till > now then
      -- Numbers with the same number of digits sort as text.
      if ARGV[at + 1] > sub(lease, 49, 64) then
        till = now_up + ARGV[at + 2]
        local head = ARGV[at] .. format('%015d', till) .. sub(lease, 32, 48) .. ARGV[at + 1]
        lease = head .. sub(lease, 65)
        call('SET', key, lease, 'PX', ARGV[at + 3])
      end
      answer = {'renewed', till}
    end
  end
  reply[index + 1] = answer
end
return reply
