-- The jobs that are named and the leases under which they are held, from ARGV[3] on: how many groups, and for each group of
-- jobs with one lease and ids of one length: the lease, the length, the ids in one. `behind`: the index of what follows.
local ids, lease_of, behind = {}, {}, 4 + 3 * ARGV[3]
for at = 4, behind - 1, 3 do
  local lease, size, group, sub = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], string.sub
  for first = 1, #group, size do
    local i = #ids + 1
    ids[i], lease_of[i] = sub(group, first, first + size - 1), lease
  end
end
