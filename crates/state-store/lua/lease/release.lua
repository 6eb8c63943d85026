-- lease/release: releases leases. Their fences are kept.
-- KEYS     strings, the leases: see acquire.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each lease: fence, 16 digits
-- Returns  'each', then for each lease: 'released' | 'lost' | 'failed', error
-- Retry    recognised by its fence
-- Cost     O(leases)
-- needs: call, now, unreadable
local sub, byte, pcall, reply = string.sub, string.byte, redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local head, answer = pcall('GETRANGE', key, '0', '32'), 'lost'
  if type(head) == 'table' then
    answer = {'failed', head.err}
  elseif head ~= '' and unreadable(head) then
    answer = {'failed', unreadable(head)}
  elseif sub(head, 2, 17) == ARGV[index + 2] then
    local till = tonumber(sub(head, 18, 32))
    if byte(head, 33) == 114 then
      answer = 'released'
    elseif till and till > now then
      call('SETRANGE', key, '32', 'r')
      answer = 'released'
    end
  end
  reply[index + 1] = answer
end
return reply
