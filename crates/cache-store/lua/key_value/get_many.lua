-- Reads values, in steps, until the bound on bytes is passed.
-- KEYS     strings, framed values: see frame.rs
-- ARGV[1]  bound, bytes
-- Returns  'values', then for each key read, in order, its framed value or nil; fewer than KEYS: ask again for the rest
-- Retry    reads
-- Cost     O(keys), and their bytes
local reply, left, step = {'values'}, tonumber(ARGV[1]), 16
for first = 1, #KEYS, step do
  local values = redis.call('MGET', unpack(KEYS, first, math.min(first + step - 1, #KEYS)))
  for index, value in ipairs(values) do
    reply[first + index] = value
    if value then left = left - #value end
  end
  if left <= 0 then break end
end
return reply
