-- The jobs that are named and the leases under which they are held, from ARGV[3] on: how many groups, and for each group of
-- jobs with one lease and ids of one length: the lease, the length, the ids in one; or 0 and runs of ids that have families: a
-- family, two words with a bit for each number, and how many there are. `behind`: the index of what follows.
local ids, lease_of, behind = {}, {}, 4 + 3 * ARGV[3]
for at = 4, behind - 1, 3 do
  local lease, size, group, sub = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], string.sub
  for first = 1, #group, size > 0 and size or 26 do
    if size > 0 then
      ids[#ids + 1], lease_of[#ids + 1] = sub(group, first, first + size - 1), lease
    else
      local family, base, words = sub(group, first, first + 15), string.byte(group, first + 16), {}
      words[0], words[1] = struct.unpack('>I4I4', group, first + 17)
      for number = 0, 63 do
        local word = number < 32 and 0 or 1
        if words[word] % 2 == 1 then ids[#ids + 1], lease_of[#ids + 1] = family .. string.char(base + number), lease end
        words[word] = math.floor(words[word] / 2)
      end
    end
  end
end
