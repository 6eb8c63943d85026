#!lua flags=no-writes
-- link/may_run: which commands the user of this connection may not run.
-- KEYS    none: the names in ARGV are checked, not accessed
-- ARGV    for each command its number of words, then the words (name and arguments)
-- Returns {'checked', place…}: the places, from 0, of the commands that are refused or unknown to
--         the server; {'unsupported'} if the server has no such check
-- Retry   reads only
-- Cost    O(W) with W words
if not redis.acl_check_cmd then
  return {'unsupported'}
end
local reply = {'checked'}
local at, place = 1, 0
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local known, allowed = pcall(redis.acl_check_cmd, unpack(ARGV, at + 1, at + count))
  if not known or not allowed then
    reply[#reply + 1] = place
  end
  at = at + 1 + count
  place = place + 1
end
return reply
