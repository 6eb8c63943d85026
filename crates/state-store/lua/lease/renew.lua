-- lease/renew: renews leases that are still held, from now on.
-- KEYS     strings, the leases: see acquire.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each lease: fence (16 digits), sequence (16 digits), how long it lasts
--          (ms), how long its fence is remembered from now on (ms)
-- Returns  'each', then for each lease: 'renewed', until ms | 'lost' | 'failed', error
-- Retry    recognised by its sequence: one that is not above the last sequence changes nothing, and
--          writes the same again, so that WAIT covers it
-- Cost     O(leases)
-- needs: call, now, now_up, layout, unreadable
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local at, lease, answer = 4 * index - 1, pcall('GET', key), 'lost'
  if type(lease) == 'table' then
    answer = {'failed', lease.err}
  elseif lease and unreadable(lease) then
    answer = {'failed', unreadable(lease)}
  elseif lease and sub(lease, 2, 17) == ARGV[at] and byte(lease, 33) == 104 then
    local till = tonumber(sub(lease, 18, 32))
    if till and till > now then
      -- Numbers with the same number of digits sort as text.
      if ARGV[at + 1] > sub(lease, 50, 65) then
        till = now_up + ARGV[at + 2]
        local head = layout .. ARGV[at] .. format('%015d', till) .. sub(lease, 33, 49)
        lease = head .. ARGV[at + 1] .. sub(lease, 66)
        call('SET', key, lease, 'PX', ARGV[at + 3])
      else
        call('SET', key, lease, 'KEEPTTL')
      end
      answer = {'renewed', till}
    end
  end
  reply[index + 1] = answer
end
return reply
