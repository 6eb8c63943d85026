-- topic/inspect: the state of a partition and of its groups.
-- KEYS[1]  groups (hash): see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- Returns  'partition', first event, last event, bytes, when the first was appended (ms), then for
--          each group: name, last event acknowledged, fence, end of the lease (ms; 0: none), holder
--          | 'absent'
-- Retry    reads
-- Cost     O(groups)
-- needs: call, now, head_in, group_in
local stored = call('HGETALL', KEYS[1])
local texts = {}
for index = 1, #stored, 2 do texts[stored[index]] = stored[index + 1] end
local head, failure = head_in(texts.head)
if failure then return redis.error_reply(failure) end
if not head then return {'absent'} end
texts.head = nil
local bytes, first_at = head.bytes - head.before, head.first_at
local reply = {'partition', head.first, head.last, bytes, first_at}
for name, text in pairs(texts) do
  local group, damage = group_in(text)
  if damage then return redis.error_reply(damage) end
  local till = group.till > now and group.till or 0
  for _, value in ipairs({string.sub(name, 2), group.cursor, group.fence, till, group.name}) do
    reply[#reply + 1] = value
  end
end
return reply
