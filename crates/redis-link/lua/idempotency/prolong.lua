-- idempotency/prolong: keeps idempotent requests in progress that this attempt has begun and not
-- finished.
-- KEYS     strings, the entries: see begin.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each entry: request (16 bytes), how long it may be in progress from now
--          (ms), after how long it may be collected (ms, longer)
-- Returns  'each', then for each entry: 'prolonged' | 'lost' | 'failed', error
-- Retry    recognised by its request
-- Cost     O(entries)
-- needs: call, now, now_up, layout, unreadable
local format, sub, pcall, reply = string.format, string.sub, redis.pcall, {'each'}
local foreign = 'TWCORRUPT the entry is none of an idempotent request'
for index, key in ipairs(KEYS) do
  local at, head, answer = 3 * index, pcall('GETRANGE', key, '0', '79'), 'lost'
  if type(head) == 'table' then
    answer = {'failed', head.err}
  elseif head ~= '' then
    local till = tonumber(sub(head, 66, 80))
    local failure = unreadable(head) or not till and foreign
    if failure then
      answer = {'failed', failure}
    elseif till > now and sub(head, 2, 18) == 'p' .. ARGV[at] then
      head = layout .. sub(head, 2, 65) .. format('%015d', now_up + ARGV[at + 1])
      call('SET', key, head, 'PX', ARGV[at + 2])
      answer = 'prolonged'
    end
  end
  reply[index + 1] = answer
end
return reply
