-- step/list: the steps of a run in the order in which they first began, without their outputs.
-- KEYS[1]  hash, the run: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how many, at most
-- ARGV[4]  the number of the first, from 0
-- Returns  'steps', the number of the next step or nil, then name and entry of each
-- Retry    reads
-- Cost     O(steps of the page)
-- needs: call, now, unreadable
local head, reply = call('HGET', KEYS[1], 'run'), {'steps', false}
if not head then return reply end
if unreadable(head) then return redis.error_reply(unreadable(head)) end
if (tonumber(string.sub(head, 2, 16)) or 0) <= now then return reply end
local first, count = tonumber(ARGV[4]), tonumber(string.sub(head, 33)) or 0
local last = math.min(first + ARGV[3], count) - 1
if last < first then return reply end
local fields = {}
for number = first, last do fields[#fields + 1] = 'n' .. number end
local names = call('HMGET', KEYS[1], unpack(fields))
for index, name in ipairs(names) do fields[index] = 's' .. name end
local entries = call('HMGET', KEYS[1], unpack(fields))
for index, name in ipairs(names) do
  if unreadable(entries[index]) then return redis.error_reply(unreadable(entries[index])) end
  reply[#reply + 1], reply[#reply + 2] = name, entries[index]
end
if last + 1 < count then reply[2] = string.format('%d', last + 1) end
return reply
