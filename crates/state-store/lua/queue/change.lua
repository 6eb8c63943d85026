-- queue/change: cancels, deletes, promotes or replays jobs.
-- KEYS    those of keys.lua, 15 call (string)
-- ARGV    1 clock, 2 shape, 3 ms for which the call is remembered, 4 'cancel' (1 job), 'delete',
--         'promote' or 'replay', 5.. packed ids
-- Returns 'shape' and the recorded one, or 'changed', then for each job 'removed', 'requested' (its
--         worker is to stop), 'promoted', 'replayed', 'held' (its unique key, by another job), or
--         where it is because it was not changed; and the id of that other job or ''
-- Retry   remembered until the last copy's deadline
-- Cost    up to 18 commands per job, O(bytes of the jobs and of their batches + n log s) with s in
--         their states
-- needs: NO_FENCE, extract, find, flush, forget, holder_of, moved, publish, salt, stay, take_out
-- needs: unique_of, wake, with_flag
local reply, changed, keys = { 'changed' }, {}, {}
-- What a job becomes, or nil.
local changes = {
  cancel = function(job)
    if job.place == 'ready' or job.place == 'scheduled' then return 'removed' end
    if job.place ~= 'running' then return nil end
    stay(job, with_flag(job.s, 1), job.at)
    return 'requested'
  end,
  delete = function(job) return job.place ~= 'running' and 'removed' or nil end,
  promote = function(job) return job.place == 'scheduled' and 'promoted' or nil end,
  -- As if it had never been claimed. Its deadline does not count again, for it has a state.
  replay = function(job)
    if job.place ~= 'dead' then return nil end
    local key, kind = unique_of(job.record), byte(job.record, 2) % 4
    -- A key that is held for a time is not taken again: its time began with the push.
    local holder = key and kind < 3 and (keys[key .. salt] or holder_of(key))
    if holder then return 'held', holder end
    if key and kind < 3 then
      keys[key .. salt] = job.id
      call('HSET', unique, key, (kind == 1 and 'c' or 'f') .. job.id)
    end
    add(moved.states, job.id, 'w' .. NO_FENCE .. '\0\0' .. sub(job.s, 20, 26)
      .. (kind == 1 and '\16' or '\0') .. '\0\0\0')
    return 'replayed'
  end,
}

for i = 5, #ARGV do
  local id, word, holder = ARGV[i], nil, nil
  local job = changed[id .. salt] and { place = 'unknown' } or find(id)
  if job.place ~= 'unknown' then word, holder = changes[ARGV[4]](job) end
  if word == 'removed' then
    take_out(job)
    forget(job)
  elseif word == 'promoted' or word == 'replayed' then
    extract(job)
    table.insert(moved.tails[byte(job.record, 3)], job.id)
  end
  changed[id .. salt] = word
  add(reply, word or job.place, holder or '')
end
if flush('') then wake() end
call('SET', KEYS[15], cmsgpack.pack(reply), 'PX', ARGV[3])
publish()
return reply
