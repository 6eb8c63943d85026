#!lua flags=no-writes,allow-oom
-- link/capabilities: which commands the server has, and whether the user may send them.
-- KEYS    none
-- ARGV    none
-- Returns {'capable', word…}: 'yes', 'denied' or 'absent' for PUBLISH, SPUBLISH, WAIT, WAITAOF,
--         SELECT and CONFIG GET; {'unchecked', word…} without redis.acl_check_cmd: 'yes' or
--         'absent' for PUBLISH, SPUBLISH and EXPIRE with a condition, in scripts
-- Retry   changes nothing
-- Cost    O(1)
local reply
if redis.acl_check_cmd then
  reply = {'capable'}
  for _, command in ipairs({
    { 'PUBLISH', 'x', 'x' }, { 'SPUBLISH', 'x', 'x' }, { 'WAIT', '1', '1' },
    { 'WAITAOF', '1', '0', '1' }, { 'SELECT', '0' }, { 'CONFIG', 'GET', 'x' } }) do
    local known, allowed = pcall(redis.acl_check_cmd, unpack(command))
    reply[#reply + 1] = not known and 'absent' or allowed and 'yes' or 'denied'
  end
else
  reply = {'unchecked'}
  -- The conditions NX and XX exclude each other, so EXPIRE changes nothing.
  for _, command in ipairs({
    { 'PUBLISH', 'twinstore:capabilities', '' },
    { 'SPUBLISH', 'twinstore:capabilities', '' },
    { 'EXPIRE', 'twinstore:capabilities', '1', 'NX', 'XX' } }) do
    local answer = redis.pcall(unpack(command))
    local text = type(answer) == 'table' and answer.err or ''
    local is_absent = text:find('nknown') or text:find('not allowed') or text:find('rong number')
    reply[#reply + 1] = is_absent and 'absent' or 'yes'
  end
end
return reply
