-- Begins an idempotent request, unless another attempt has begun or finished it.
-- KEYS[1]  string, the entry: `p` in progress or `f` finished, request (16 bytes), fingerprint (32 bytes), since when (ms,
--          15 digits), until when (ms, 15 digits), behind `f` the response
-- ARGV[2]  request, 16 bytes
-- ARGV[3]  fingerprint, 32 bytes
-- ARGV[4]  how long it may be in progress, ms
-- ARGV[5]  after which time the entry may be collected, ms: longer than that
-- Returns  'started' | 'in_progress', since ms, left ms | 'finished', response | 'mismatch'
-- Retry    recognised by its request
-- Cost     O(1), and the bytes of a stored response
local entry = call('GET', KEYS[1])
if entry then
  local till = tonumber(string.sub(entry, 65, 79))
  if not till then return redis.error_reply('TWCORRUPT the entry is none of an idempotent request') end
  if till > now then
    if string.sub(entry, 18, 49) ~= ARGV[3] then return {'mismatch'} end
    if string.byte(entry) == 102 then return {'finished', string.sub(entry, 80)} end
    if string.sub(entry, 2, 17) == ARGV[2] then return {'started'} end
    return {'in_progress', tonumber(string.sub(entry, 50, 64)), till - now}
  end
end
entry = 'p' .. ARGV[2] .. ARGV[3] .. string.format('%015d%015d', now, now + ARGV[4])
call('SET', KEYS[1], entry, 'PX', ARGV[5])
return {'started'}
