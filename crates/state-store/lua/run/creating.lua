-- Creating a run.
-- needs: call, now, micros, read_run, run_head, put_run, add_event
-- Creates the run `new` at `key`, unless there is one. `new.lasts`: when the entries of listings
-- that were written for it may be swept (ms).
-- 'done', run | 'conflict', run | 'stale': write the entries again | 'failed', error
local function create_run(key, new, margin)
  local run, failure = read_run(key)
  if failure then return {'failed', failure} end
  local version = micros
  if run and not run.is_expired then
    if run.request ~= new.request then return {'conflict', run_head(run)} end
    -- A repetition writes again: a durable call waits for the last write of its connection.
    return {'done', put_run(run, {}, margin)}
  end
  if now >= new.lasts then return {'stale'} end
  if run then
    version = math.max(version, run.version + 1)
    call('UNLINK', key)
  end
  local never = string.rep('0', 15)
  run = {
    key = key, state = 'c', version = version, created = new.created, ended = never,
    updated = string.format('%015d', now), till = 0, ttl = new.ttl, fence = string.rep('0', 16),
    first = 0, next = 0, bytes = 0, most = new.most, request = new.request, names = new.names,
  }
  local fields = {'input', new.input}
  add_event(run, fields, new.request, 'run.created', '')
  return {'done', put_run(run, fields, margin)}
end
