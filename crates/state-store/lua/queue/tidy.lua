-- Cleans up while a queue is idle.
-- needs: call, collect_unique, decimal, due, leased, meta, now, ready, trim_completed, trim_dead
local function tidy(bounds)
  -- An interrupted script may have left the counters wrong.
  if call('EXISTS', due, leased, ready(0), ready(1), ready(2), ready(3)) == 0 then
    call('HDEL', meta, 'alive', 'scheduled', 'running')
  end
  call('HSET', meta, 'tidied', decimal(now))
  collect_unique(32)
  trim_dead(bounds, 0)
  trim_completed(bounds, 0)
end
