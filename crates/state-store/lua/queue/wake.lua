-- queue/wake: puts the baton into a list where it is absent, which wakes one of those who wait for it.
-- KEYS    1 wake (list)
-- ARGV    1 ms after which the list is forgotten, 0: never
-- Returns 'woken'
-- Retry   sent again it changes nothing while the baton is there, and wakes one more when it is not
-- Cost    O(1)
if redis.call('LLEN', KEYS[1]) == 0 then redis.call('RPUSH', KEYS[1], '1') end
if ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { 'woken' }
