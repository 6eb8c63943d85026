-- queue/counts: how many jobs are in each state.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape
-- Returns 'shape' and the recorded one, or 'counts', ready, scheduled and running together,
--         scheduled, running, completed, dead, whether the queue is paused (0 or 1)
-- Retry   reads only
-- Cost    3 commands, O(1)
return { 'counts', n_alive or 0, n_scheduled or 0, n_running or 0, call('ZCARD', completed),
  call('ZCARD', dead), paused and 1 or 0 }
