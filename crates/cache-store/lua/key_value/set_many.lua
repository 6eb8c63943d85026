-- key_value/set_many: sets values, each with its TTL. If a key is named twice, its last value is
-- kept.
-- KEYS     strings, framed values
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each key: framed value, TTL in ms
-- Returns  'set'
-- Retry    sets the same again
-- Cost     O(keys), and their bytes
-- needs: call
for index, key in ipairs(KEYS) do
  call('SET', key, ARGV[2 * index], 'PX', ARGV[2 * index + 1])
end
return {'set'}
