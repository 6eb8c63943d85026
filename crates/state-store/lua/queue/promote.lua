-- queue/promote: makes scheduled jobs ready.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3.. packed ids
-- Returns 'shape' and the recorded one, or 'promoted', then for each job whether it was scheduled
--         (0 or 1)
-- Retry   finds the result of the first run: 0 after 1
-- Cost    up to 4 commands per job, 12 per job of a batch, O(n log s + bytes) with s scheduled
-- needs: byte, call, extract, find, flush, jobs, meta, moved, publish, repair
local shape, moving = unpack(call('HMGET', meta, 'shape', 'moving'))
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
if moving then repair(moving) end
local reply, promoted, seen = { 'promoted' }, 0, {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local place, record, _, _, batch, position = find(id)
  reply[i - 1] = 0
  if place == 'scheduled' and not seen[id] then
    seen[id] = true
    reply[i - 1], promoted = 1, promoted + 1
    if batch then
      batch.blob = batch.blob or call('HGET', jobs, batch.id)
      extract(batch, batch.blob, position, function(job)
        table.insert(moved.tails[byte(record, 3)], job)
      end)
    else
      table.insert(moved.tails[byte(record, 3)], id)
      table.insert(moved.never_due, byte(record, 3) .. id)
    end
  end
end
moved.scheduled = -promoted
flush('')
publish()
return reply
