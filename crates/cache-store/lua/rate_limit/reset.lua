-- rate_limit/reset: deletes the counts of some limits.
-- KEYS     for each limit: its GCRA value (string), its fixed-window value (string)
-- ARGV[1]  deadline, and the time that a test has set
-- Returns  'reset'
-- Retry    deletes them again
-- Cost     O(limits)
-- needs: call
call('UNLINK', unpack(KEYS))
return {'reset'}
