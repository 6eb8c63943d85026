-- idempotency/finish: keeps the responses of idempotent requests, unless another attempt has taken
-- their keys.
-- KEYS     strings, the entries: see begin.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each entry: request (16 bytes), fingerprint (32 bytes), how long the
--          response is kept (ms), after which time the entry may be collected (ms: longer than
--          that), response
-- Returns  'each', then for each entry: 'stored' | 'lost' | 'failed', error
-- Retry    recognised by its request; the first response stays
-- Cost     O(entries), and the bytes of the responses
-- needs: call, now, now_up, layout, unreadable
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
local foreign = 'TWCORRUPT the entry is none of an idempotent request'
for index, key in ipairs(KEYS) do
  local at, head, answer = 5 * index - 2, pcall('GETRANGE', key, '0', '79'), nil
  if type(head) == 'table' then
    answer = {'failed', head.err}
  elseif head ~= '' then
    local till = tonumber(sub(head, 66, 80))
    local failure = unreadable(head) or not till and foreign
    if failure then
      answer = {'failed', failure}
    elseif till > now then
      if sub(head, 3, 18) ~= ARGV[at] then
        answer = 'lost'
      elseif byte(head, 2) == 102 then
        -- A durable call waits for the last write of its connection, so a repetition writes, too.
        call('SET', key, call('GET', key), 'KEEPTTL')
        answer = 'stored'
      end
    end
  end
  if not answer then
    local times = format('%015d%015d', now, now_up + ARGV[at + 2])
    head = layout .. 'f' .. ARGV[at] .. ARGV[at + 1] .. times
    call('SET', key, head .. ARGV[at + 4], 'PX', ARGV[at + 3])
    answer = 'stored'
  end
  reply[index + 1] = answer
end
return reply
