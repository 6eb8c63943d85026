-- queue/wake: puts the baton into a list where it is absent, which wakes one of those who wait for it.
-- KEYS    1 wake (list)
-- ARGV    1 clock, 2 ms after which the list is forgotten, 0: never
-- Returns 'woken'
-- Retry   sent again it changes nothing while the baton is there, and wakes one more when it is not
-- Cost    O(1)
if call('LLEN', KEYS[1]) == 0 then call('RPUSH', KEYS[1], '1') end
if ARGV[2] ~= '0' then call('PEXPIRE', KEYS[1], ARGV[2]) end
return { 'woken' }
