-- Gives a lease back. Its fence stays remembered.
-- KEYS[1]  string, the lease: see acquire.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  fence, 16 digits
-- Returns  'released' | 'lost'
-- Retry    recognised by its fence
-- Cost     O(1)
local head = call('GETRANGE', KEYS[1], '0', '31')
if string.sub(head, 1, 16) ~= ARGV[2] then return {'lost'} end
if string.byte(head, 32) == 114 then return {'released'} end
if tonumber(string.sub(head, 17, 31)) <= now then return {'lost'} end
call('SETRANGE', KEYS[1], '31', 'r')
return {'released'}
