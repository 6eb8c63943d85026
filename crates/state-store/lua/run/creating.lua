-- Creating a run.
-- needs: call, now, now_digits, layout, micros, read_run, run_parts, prolong, put_run
-- needs: put_again, add_event
-- Creates the run `new` at `key`, unless there is one. `new.lasts`: when the entries of listings
-- that were written for it may be swept (ms).
-- 'done', run | 'conflict', run | 'stale': write the entries again | 'failed', error
local function create_run(key, new, margin)
  local head, failure = read_run(key)
  if failure then return {'failed', failure} end
  local version = micros
  if head then
    local _, last, _, _, _, till, _, _, _, request = run_parts(head)
    if till > now_digits then
      if request ~= new.request then return {'conflict', head} end
      return {'done', put_again(key, head, margin)}
    end
    version = math.max(version, last + 1)
  end
  if now >= new.lasts then return {'stale'} end
  if head then call('UNLINK', key) end
  local fields, never, no_fence = {'input', new.input}, string.rep('0', 15), string.rep('0', 16)
  local bytes = add_event(fields, 0, new.request, 'run.created', '')
  local till, left = prolong(never, new.ttl, margin)
  local log = string.format('%016d%016d%08d%05d', 0, 1, bytes, new.most)
  head = layout .. 'c' .. string.format('%016d', version) .. new.created .. now_digits .. never
    .. till .. new.ttl .. no_fence .. log .. new.request .. new.names
  return {'done', put_run(key, head, left, fields)}
end
