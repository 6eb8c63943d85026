-- topic/declare: records the configuration of a topic, or reads it.
-- KEYS[1]  string: layout, number of partitions, and the bounds of each: age (ms), events, bytes,
--          with blanks between the numbers
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  number of partitions, or '' to read
-- ARGV[4]  the bounds, with blanks between them
-- Returns  'declared', the configuration without its layout, or '' if there is none. If it has
--          another number of partitions, it was not changed
-- Retry    leads to the same state
-- Cost     O(1)
-- needs: call, layout, unreadable
local stored = call('GET', KEYS[1])
if stored and unreadable(stored) then return redis.error_reply(unreadable(stored)) end
local config = stored and string.sub(stored, 2) or ''
if ARGV[3] == '' then return {'declared', config} end
local declared = ARGV[3] .. ' ' .. ARGV[4]
if stored and string.match(config, '^%d+') ~= ARGV[3] then return {'declared', config} end
if config ~= declared then call('SET', KEYS[1], layout .. declared) end
return {'declared', declared}
