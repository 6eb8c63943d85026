-- key_value/delete_many: deletes the values and counters of some keys, for several callers.
-- KEYS     for each key: its value (string), its counter (string)
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV     from 2 on, for each caller: its number of keys
-- Returns  'each', then for each caller how many of its keys had a value, a counter or both
-- Retry    a repetition does not count keys that are already gone
-- Cost     O(keys)
-- needs: call
local reply, at = {'each'}, 1
for caller = 2, #ARGV do
  local deleted = 0
  for _ = 1, ARGV[caller] do
    if call('UNLINK', KEYS[at], KEYS[at + 1]) > 0 then deleted = deleted + 1 end
    at = at + 2
  end
  reply[caller] = deleted
end
return reply
