-- idempotency/finish: keeps the responses of idempotent requests, unless another attempt has taken
-- their keys.
-- KEYS     strings, the entries: see begin.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each entry: request (16 bytes), fingerprint (32 bytes), how long the
--          response is kept (ms), after which time the entry may be collected (ms: longer than
--          that), response
-- Returns  'each', then for each entry: 'stored' | 'lost' | 'failed', error
-- Retry    recognised by its request; the first response stays
-- Cost     O(entries), and the bytes of the responses
-- needs: call, now, now_up
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local at, head, answer = 5 * index - 3, pcall('GETRANGE', key, '0', '78'), nil
  if type(head) == 'table' then
    answer = {'failed', head.err}
  elseif head ~= '' then
    local till = tonumber(sub(head, 65, 79))
    if not till then
      answer = {'failed', 'TWCORRUPT the entry is none of an idempotent request'}
    elseif till > now then
      if sub(head, 2, 17) ~= ARGV[at] then
        answer = 'lost'
      elseif byte(head) == 102 then
        answer = 'stored'
      end
    end
  end
  if not answer then
    head = 'f' .. ARGV[at] .. ARGV[at + 1] .. format('%015d%015d', now, now_up + ARGV[at + 2])
    call('SET', key, head .. ARGV[at + 4], 'PX', ARGV[at + 3])
    answer = 'stored'
  end
  reply[index + 1] = answer
end
return reply
