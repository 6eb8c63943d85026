-- idempotency/begin: begins idempotent requests, unless another attempt has begun or finished them.
-- KEYS     strings, the entries: layout, `p` in progress or `f` finished, request (16 bytes),
--          fingerprint (32 bytes), since when (ms, 15 digits), until when (ms, 15 digits), behind
--          `f` the response
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each entry: request (16 bytes), fingerprint (32 bytes), how long it may
--          be in progress (ms), after which time it may be collected (ms: longer than that)
-- Returns  'each', then for each entry: 'started' | 'in_progress', since ms, left ms | 'finished',
--          response | 'mismatch' | 'failed', error
-- Retry    recognised by its request
-- Cost     O(entries), and the bytes of stored responses
-- needs: call, now, now_up, layout, unreadable
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
local foreign = 'TWCORRUPT the entry is none of an idempotent request'
for index, key in ipairs(KEYS) do
  local at, entry, answer = 4 * index - 1, pcall('GET', key), nil
  if type(entry) == 'table' then
    answer = {'failed', entry.err}
  elseif entry then
    local till = tonumber(sub(entry, 66, 80))
    local failure = unreadable(entry) or not till and foreign
    if failure then
      answer = {'failed', failure}
    elseif till > now then
      if sub(entry, 19, 50) ~= ARGV[at + 1] then
        answer = 'mismatch'
      elseif byte(entry, 2) == 102 then
        answer = {'finished', sub(entry, 81)}
      elseif sub(entry, 3, 18) == ARGV[at] then
        -- A durable call waits for the last write of its connection, so a repetition writes, too.
        call('SET', key, entry, 'KEEPTTL')
        answer = 'started'
      else
        answer = {'in_progress', tonumber(sub(entry, 51, 65)), till - now_up}
      end
    end
  end
  if not answer then
    local times = format('%015d%015d', now, now_up + ARGV[at + 2])
    call('SET', key, layout .. 'p' .. ARGV[at] .. ARGV[at + 1] .. times, 'PX', ARGV[at + 3])
    answer = 'started'
  end
  reply[index + 1] = answer
end
return reply
