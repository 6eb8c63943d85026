-- Deletes the values and counters of some keys.
-- KEYS     for each key: its value (string), its counter (string)
-- Returns  'deleted', how many keys had one or both
-- Retry    the second time they are gone and not counted
-- Cost     O(keys)
local deleted = 0
for index = 1, #KEYS, 2 do
  if redis.call('UNLINK', KEYS[index], KEYS[index + 1]) > 0 then deleted = deleted + 1 end
end
return {'deleted', deleted}
