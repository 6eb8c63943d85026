-- resume_token/take_over: records fences of streams and returns their tokens.
-- KEYS     strings, the records: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how long a record without a lasting token is kept (ms)
-- ARGV     from 4 on, for each record: fence (16 digits)
-- Returns  'each', then for each record the answer of take_over_token: see writes.lua
-- Retry    leads to the same state
-- Cost     O(records), and the bytes of their tokens
-- needs: take_over_token
local reply, kept = {'each'}, tonumber(ARGV[3])
for index, key in ipairs(KEYS) do
  reply[index + 1] = take_over_token(key, ARGV[index + 3], kept)
end
return reply
