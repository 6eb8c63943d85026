-- queue/delete: removes jobs that do not run.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3.. packed ids
-- Returns 'shape' and the recorded one, or 'deleted', then for each job 'deleted', 'running' or
--         'unknown'
-- Retry   finds the result of the first run: 'unknown' after 'deleted'
-- Cost    n jobs: up to 12 n commands, O(bytes of the jobs and of their batches + n log s) with s
--         in their states
-- needs: ENTRY, call, completed, dead, decimal, find, meta, remove, repair, write_batches
local shape, moving = unpack(call('HMGET', meta, 'shape', 'moving'))
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
if moving then repair(moving) end
local reply = { 'deleted' }
for i = 3, #ARGV do
  local id = ARGV[i]
  local place, record, s, _, batch, position = find(id)
  reply[i - 1] = 'deleted'
  if place == 'running' or place == 'unknown' then
    reply[i - 1] = place
  else
    local bytes = ENTRY + #record + #s
    remove(id, place, record, batch, position)
    if place == 'completed' or place == 'dead' then
      call('ZREM', place == 'dead' and dead or completed, id)
      call('HINCRBY', meta, place .. '_bytes', decimal(-bytes))
    end
  end
end
write_batches()
return reply
