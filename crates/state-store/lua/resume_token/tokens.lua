-- resume_token/tokens: what is known of the tokens of streams.
-- KEYS     strings, the records: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- Returns  'each', then for each record: 'token', see shown | 'token' | 'failed', error
-- Retry    reads
-- Cost     O(records)
-- needs: token_head, shown
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local head, failure = token_head(key)
  reply[index + 1] = failure and {'failed', failure} or shown('token', head)
end
return reply
