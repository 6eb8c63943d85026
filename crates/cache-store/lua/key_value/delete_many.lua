-- Deletes the values and counters of some keys, for several callers.
-- KEYS     for each key: its value (string), its counter (string)
-- ARGV     for each caller: how many keys are its own
-- Returns  'each', then for each caller how many of its keys had one or both
-- Retry    the second time they are gone and not counted
-- Cost     O(keys)
local reply, at = {'each'}, 1
for caller, keys in ipairs(ARGV) do
  local deleted = 0
  for _ = 1, keys do
    if redis.call('UNLINK', KEYS[at], KEYS[at + 1]) > 0 then deleted = deleted + 1 end
    at = at + 2
  end
  reply[caller + 1] = deleted
end
return reply
