-- heartbeat/lost: the lost members, the latest first, those of one millisecond by name.
-- KEYS[1]  hash, KEYS[2] and KEYS[3] sorted sets: see beat.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  how many, at most
-- ARGV[4]  lost since, ms
-- ARGV[5]  how many lost members are kept
-- ARGV[6]  until of the last member of the previous page, ms; empty: from the first
-- ARGV[7]  its name
-- Returns  'members', 1 if there are more, else 0, then name and entry of each
-- Retry    reads
-- Cost     O(log members), and the lost members that are kept
-- needs: call, now, decimal, unreadable
local limit, passed = tonumber(ARGV[3]), tonumber(ARGV[6])
-- Compares bytes, as a sorted set does; `>` follows the server's locale.
local function is_behind(name, other)
  for index = 1, #name do
    local distance = string.byte(name, index) - (string.byte(other, index) or -1)
    if distance ~= 0 then return distance > 0 end
  end
  return false
end
local first, last = decimal(-now), '-' .. ARGV[4]
local lost = call('ZRANGEBYSCORE', KEYS[2], first, last, 'WITHSCORES', 'LIMIT', 0, ARGV[5])
local reply = {'members', 0}
for index = 1, #lost, 2 do
  local name, till = lost[index], -lost[index + 1]
  if not passed or till < passed or (till == passed and is_behind(name, ARGV[7])) then
    local entry = call('HGET', KEYS[1], name)
    if entry and unreadable(entry) then return redis.error_reply(unreadable(entry)) end
    if entry and tonumber(string.sub(entry, 32, 46)) == till then
      if #reply == 2 * limit + 2 then
        reply[2] = 1
        return reply
      end
      reply[#reply + 1], reply[#reply + 2] = name, entry
    end
  end
end
return reply
