-- resume_token/load: the token of a stream.
-- KEYS[1]  string, the record: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- Returns  'token', see shown, token | 'token'
-- Retry    reads
-- Cost     O(1), and the bytes of the token
-- needs: token_head, shown, token_in
local head, failure = token_head(KEYS[1])
if failure then return redis.error_reply(failure) end
return shown('token', head, token_in(KEYS[1], head))
