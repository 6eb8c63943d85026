-- lease/release: releases leases. Their fences are kept.
-- KEYS     strings, the leases: see acquire.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each lease: fence, 16 digits
-- Returns  'each', then for each lease: 'released' | 'lost' | 'failed', error
-- Retry    recognised by its fence
-- Cost     O(leases)
-- needs: call, now
local sub, byte, pcall, reply = string.sub, string.byte, redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local head, answer = pcall('GETRANGE', key, '0', '31'), 'lost'
  if type(head) == 'table' then
    answer = {'failed', head.err}
  elseif sub(head, 1, 16) == ARGV[index + 1] then
    local till = tonumber(sub(head, 17, 31))
    if byte(head, 32) == 114 then
      answer = 'released'
    elseif till and till > now then
      call('SETRANGE', key, '31', 'r')
      answer = 'released'
    end
  end
  reply[index + 1] = answer
end
return reply
