-- What a push has been given: ids, and the records of those in parcels.
local n = tonumber(ARGV[2])
local next_delay, pushed_at, earliest = 4 + 2 * n, pack('>I6', now_up), nil
local given, packed = ARGV, {}
if n > 1 and ARGV[3] ~= '' then
  given = { '', '', '' }
  for at = 4, #ARGV, 2 do
    local ids, records = contents('\0' .. pushed_at, ARGV[at])
    for i, id in ipairs(ids) do
      given[#given + 1] = id
      packed[#packed + 1] = records[i]
    end
  end
end
