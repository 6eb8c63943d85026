-- topic/declare: records the configuration of a topic, or reads it.
-- KEYS[1]  string: layout, number of partitions, and the bounds of each: age (ms), events, bytes,
--          with blanks between the numbers
-- KEYS[2]  the remembered call: see once.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  number of partitions, or '' to read
-- ARGV[4]  the bounds, with blanks between them
-- ARGV[5]  how long the call is remembered (ms), or '' to read
-- Returns  'declared', the configuration without its layout, or '' if there is none. If it has
--          another number of partitions, it was not changed
-- Retry    recognised by the remembered call
-- Cost     O(1)
-- needs: call, layout, unreadable, remember
local stored = call('GET', KEYS[1])
if stored and unreadable(stored) then return redis.error_reply(unreadable(stored)) end
local config = stored and string.sub(stored, 2) or ''
if ARGV[3] == '' then return {'declared', config} end
local declared = ARGV[3] .. ' ' .. ARGV[4]
if stored and string.match(config, '^%d+') ~= ARGV[3] then return {'declared', config} end
if config ~= declared then call('SET', KEYS[1], layout .. declared) end
return remember({'declared', declared})
