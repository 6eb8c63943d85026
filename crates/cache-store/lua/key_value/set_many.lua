-- Sets values, each with its TTL. Of a key named twice the last value stays.
-- KEYS     strings, framed values
-- ARGV     for each key: framed value, TTL in ms
-- Returns  'set'
-- Retry    sets the same again
-- Cost     O(keys), and their bytes
for index, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[2 * index - 1], 'PX', ARGV[2 * index])
end
return {'set'}
