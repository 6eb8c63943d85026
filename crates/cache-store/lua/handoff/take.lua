-- Takes the value that was put under a key, for one claim.
-- KEYS[1]  string, the item: see put.lua
-- ARGV[2]  claim, 16 bytes
-- Returns  'taken', value | 'none'
-- Retry    recognised by its claim, until the item's end
-- Cost     O(1), and the value's bytes
local item = call('GET', KEYS[1])
if not item then return {'none'} end
local till = tonumber(string.sub(item, 34, 48))
if not till then return redis.error_reply('TWCORRUPT the item is none of a hand-off') end
if till <= now then return {'none'} end
if string.byte(item) == 119 then
  call('SETRANGE', KEYS[1], '0', 't' .. string.sub(item, 2, 17) .. ARGV[2])
elseif string.sub(item, 18, 33) ~= ARGV[2] then
  return {'none'}
end
return {'taken', string.sub(item, 49)}
