-- queue/cancel: removes a job that does not run, requests the worker of one that runs to stop.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 packed id
-- Returns 'shape' and the recorded one, or 'removed', 'requested', 'finished' or 'unknown'
-- Retry   finds the result of the first run: 'unknown' after 'removed'
-- Cost    up to 12 commands, O(bytes of the job or of its batch, + log s) with s scheduled
-- needs: add, call, extract, find, flush, interrupted, jobs, moved, remove, repair, state
-- needs: with_cancel, write_batches
if interrupted then repair(interrupted) end
local place, record, s, at, batch, position = find(ARGV[3])
if place == 'ready' or place == 'scheduled' then
  remove(ARGV[3], place, record, batch, position)
  write_batches()
  return { 'removed' }
elseif batch and place == 'running' then
  extract(batch, call('HGET', jobs, batch.id), position, function(id, state_before)
    add(moved.leases, at, id)
    add(moved.states, id, with_cancel(state_before))
  end)
  flush('')
  return { 'requested' }
elseif place == 'running' then
  call('HSET', state, ARGV[3], with_cancel(s))
  return { 'requested' }
end
return { place == 'unknown' and place or 'finished' }
