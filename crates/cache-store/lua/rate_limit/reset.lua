-- Forgets what was counted of some limits.
-- KEYS     for each limit: what it is by GCRA (string), what it is by fixed windows (string)
-- ARGV[1]  deadline, and the time that a test has set
-- Returns  'reset'
-- Retry    forgets it again
-- Cost     O(limits)
call('UNLINK', unpack(KEYS))
return {'reset'}
