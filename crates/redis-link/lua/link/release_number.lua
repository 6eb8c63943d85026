-- link/release_number: frees a database number, if its owner is still the one that was read.
-- KEYS[1]  twinstore:owner or twinstore:owner:<server>:<number>: string
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  the value that was read from KEYS[1]
-- Returns  {'released'}, or {'changed'} if the key has changed or is absent
-- Retry    a second run returns 'changed'
-- Cost     O(1)
-- needs: call
if call('GET', KEYS[1]) ~= ARGV[2] then
  return {'changed'}
end
call('DEL', KEYS[1])
return {'released'}
