-- home/forget: an entry of an outbox is removed, so its destination need not remember it for long.
-- KEYS[1]  the call that is remembered (string)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  ms for which it is remembered from now on
-- Returns  'done'
-- Retry    the same again
-- Cost     1 command
call('PEXPIRE', KEYS[1], ARGV[2])
return 'done'
