-- queue/pause: stops claims, allows them again, or only notifies a waiting worker.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 'pause', 'resume' or 'wake'
-- Returns 'shape' and the recorded one, or 'done'
-- Retry   changes nothing stored; 'resume' and 'wake' notify one more worker
-- Cost    up to 6 commands, and 3 more for each registration that has ended, of at most 16
-- needs: call, meta, publish, wake
local shape = call('HGET', meta, 'shape')
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
if ARGV[3] == 'pause' then
  if ARGV[2] ~= '' then call('HSETNX', meta, 'shape', ARGV[2]) end
  call('HSET', meta, 'paused', '1')
else
  if ARGV[3] == 'resume' then call('HDEL', meta, 'paused') end
  wake()
  publish()
end
return { 'done' }
