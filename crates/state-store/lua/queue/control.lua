-- queue/control: records ('open') or compares a shape, pauses, resumes, or notifies a worker.
-- KEYS    those of keys.lua, 15 call (string)
-- ARGV    1 clock, 2 shape or '', 3 ms for which 'pause' and 'resume' are remembered, 4 'open',
--         'compare', 'pause', 'resume' or 'wake'
-- Returns 'shape' and the recorded one or '', or 'done'
-- Retry   remembered until the last copy's deadline; 'wake' notifies one more worker
-- Cost    up to 7 commands, and 3 more for each registration that has ended, of at most 64
-- needs: publish, wake
local action, is_new = ARGV[4], not shape and ARGV[2] ~= ''
if is_new and action == 'open' then call('HSET', meta, 'shape', ARGV[2]) end
if is_new and (action == 'compare' or action == 'pause') then return { 'shape', '' } end
if action == 'pause' then call('HSET', meta, 'paused', '1') end
if action == 'resume' then call('HDEL', meta, 'paused') end
if action == 'resume' or action == 'wake' then wake() end
if ARGV[3] ~= '' then call('SET', KEYS[15], cmsgpack.pack({ 'done' }), 'PX', ARGV[3]) end
publish()
return { 'done' }
