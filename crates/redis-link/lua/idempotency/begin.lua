-- idempotency/begin: begins idempotent requests, unless another attempt has begun or finished them.
-- KEYS     strings, the entries: `p` in progress or `f` finished, request (16 bytes), fingerprint
--          (32 bytes), since when (ms, 15 digits), until when (ms, 15 digits), behind `f` the
--          response
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each entry: request (16 bytes), fingerprint (32 bytes), how long it may
--          be in progress (ms), after which time it may be collected (ms: longer than that)
-- Returns  'each', then for each entry: 'started' | 'in_progress', since ms, left ms | 'finished',
--          response | 'mismatch' | 'failed', error
-- Retry    recognised by its request
-- Cost     O(entries), and the bytes of stored responses
-- needs: call, now, now_up
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
for index, key in ipairs(KEYS) do
  local at, entry, answer = 4 * index - 2, pcall('GET', key), nil
  if type(entry) == 'table' then
    answer = {'failed', entry.err}
  elseif entry then
    local till = tonumber(sub(entry, 65, 79))
    if not till then
      answer = {'failed', 'TWCORRUPT the entry is none of an idempotent request'}
    elseif till > now then
      if sub(entry, 18, 49) ~= ARGV[at + 1] then
        answer = 'mismatch'
      elseif byte(entry) == 102 then
        answer = {'finished', sub(entry, 80)}
      elseif sub(entry, 2, 17) == ARGV[at] then
        answer = 'started'
      else
        answer = {'in_progress', tonumber(sub(entry, 50, 64)), till - now_up}
      end
    end
  end
  if not answer then
    entry = 'p' .. ARGV[at] .. ARGV[at + 1] .. format('%015d%015d', now, now_up + ARGV[at + 2])
    call('SET', key, entry, 'PX', ARGV[at + 3])
    answer = 'started'
  end
  reply[index + 1] = answer
end
return reply
