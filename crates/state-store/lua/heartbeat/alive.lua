-- heartbeat/alive: the live members, by name.
-- KEYS[1]  hash, KEYS[2] and KEYS[3] sorted sets: see beat.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how many, at most
-- ARGV[4]  after which name; empty: from the first
-- Returns  'members', the name after which the next page begins or nil, then name and entry of each
-- Retry    reads
-- Cost     O(log members), and the members read: those requested and up to 2000 lost ones
-- needs: call, now, unreadable
local limit, after, looked_at = tonumber(ARGV[3]), ARGV[4], 0
local reply = {'members', false}
while looked_at < limit + 2000 do
  local from, count = after == '' and '-' or '(' .. after, math.min(limit + 1, 200)
  local names = call('ZRANGEBYLEX', KEYS[3], from, '+', 'LIMIT', 0, count)
  if #names == 0 then return reply end
  local entries = call('HMGET', KEYS[1], unpack(names))
  for index, name in ipairs(names) do
    local entry = entries[index]
    if entry and unreadable(entry) then return redis.error_reply(unreadable(entry)) end
    if entry and tonumber(string.sub(entry, 32, 46)) > now then
      if #reply == 2 * limit + 2 then
        reply[2] = after
        return reply
      end
      reply[#reply + 1], reply[#reply + 2] = name, entry
    end
    after = name
  end
  looked_at = looked_at + #names
end
reply[2] = after
return reply
