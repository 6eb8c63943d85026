-- resume_token/save: saves the tokens of streams.
-- KEYS     strings, the records: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how long a record without a lasting token is kept (ms)
-- ARGV     from 4 on, for each record: fence (16 digits), expected version (16 digits, or empty),
--          request (16 bytes), TTL (ms, 0: none), token
-- Returns  'each', then for each record the answer of save_token: see writes.lua
-- Retry    recognised by its request, or by its fence and token; then writes again, so that WAIT
--          covers it
-- Cost     O(records), and their bytes
-- needs: save_token
local reply, kept = {'each'}, tonumber(ARGV[3])
for index, key in ipairs(KEYS) do
  local at = 5 * index - 1
  local ttl = tonumber(ARGV[at + 3])
  local expected, request, token = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4]
  reply[index + 1] = save_token(key, ARGV[at], expected, request, ttl, kept, token)
end
return reply
