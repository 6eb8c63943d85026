-- Keeps the response of an idempotent request, unless another attempt has taken its key.
-- KEYS[1]  string, the entry: see begin.lua
-- ARGV[2]  request, 16 bytes
-- ARGV[3]  fingerprint, 32 bytes
-- ARGV[4]  how long the response is kept, ms
-- ARGV[5]  after which time the entry may be collected, ms: longer than that
-- ARGV[6]  response
-- Returns  'stored' | 'lost'
-- Retry    recognised by its request; the first response stays
-- Cost     O(1), and the bytes of the response
local head = call('GETRANGE', KEYS[1], '0', '78')
if head ~= '' then
  local till = tonumber(string.sub(head, 65, 79))
  if not till then return redis.error_reply('TWCORRUPT the entry is none of an idempotent request') end
  if till > now then
    if string.sub(head, 2, 17) ~= ARGV[2] then return {'lost'} end
    if string.byte(head) == 102 then return {'stored'} end
  end
end
head = 'f' .. ARGV[2] .. ARGV[3] .. string.format('%015d%015d', now, now + ARGV[4])
call('SET', KEYS[1], head .. ARGV[6], 'PX', ARGV[5])
return {'stored'}
