-- Puts a value for another service, unless one waits there that nobody has taken.
-- KEYS[1]  string, the item: `w` waits or `t` taken, put (16 bytes), claim (16 bytes), end (ms, 15 digits), value
-- ARGV[2]  put, 16 bytes
-- ARGV[3]  how long it waits, ms
-- ARGV[4]  after which time it may be collected, ms: longer than that
-- ARGV[5]  value
-- Returns  'stored' | 'occupied'
-- Retry    recognised by its put
-- Cost     O(1), and the value's bytes
local head = call('GETRANGE', KEYS[1], '0', '47')
if head ~= '' then
  local till = tonumber(string.sub(head, 34, 48))
  if not till then return redis.error_reply('TWCORRUPT the item is none of a hand-off') end
  if till > now then
    if string.sub(head, 2, 17) == ARGV[2] then return {'stored'} end
    if string.byte(head) == 119 then return {'occupied'} end
  end
end
head = 'w' .. ARGV[2] .. string.rep('\0', 16) .. string.format('%015d', now + ARGV[3])
call('SET', KEYS[1], head .. ARGV[5], 'PX', ARGV[4])
return {'stored'}
