-- resume_token/clear: deletes the tokens of streams. Their fences and versions are kept.
-- KEYS     strings, the records: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how long the fence and the version are kept (ms)
-- ARGV     from 4 on, for each record: version (16 digits), fence (16 digits, or empty)
-- Returns  'each', then for each record the answer of clear_token: see writes.lua
-- Retry    recognised by its version, until another token is saved
-- Cost     O(records)
-- needs: clear_token
local reply, kept = {'each'}, tonumber(ARGV[3])
for index, key in ipairs(KEYS) do
  reply[index + 1] = clear_token(key, ARGV[2 * index + 2], ARGV[2 * index + 3], kept)
end
return reply
