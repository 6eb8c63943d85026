-- Prelude of scripts of a queue: compares its shape.
local shape, interrupted, paused, last_fence, tidied, n_alive, n_scheduled, n_running
  = unpack(call('HMGET', meta, 'shape', 'moving', 'paused', 'fence', 'tidied', 'alive',
    'scheduled', 'running'))
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
