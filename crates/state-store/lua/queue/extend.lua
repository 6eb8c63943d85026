-- queue/extend: makes leases last longer, and stores progress.
-- KEYS    1 jobs (hash), 2 state (hash), 3-6 ready0-3 (lists), 7 due, 8 leased, 9 completed, 10 dead (sorted sets),
--         11 unique (hash), 12 unique_until (sorted set), 13 meta (hash), 14 wake (list)
-- ARGV    1 clock, 2 lasting in ms, 3 n, 4.. n packed ids, n leases ('r', fence in 16 digits; '': the one before), then for
--         each that reports progress: position from 1, progress
-- Returns 'extended', the new end in ms, then for each other answer: position from 0, 'lost', 'until' or 'cancel', its end
-- Retry   recognised by the fence; the lease lasts from the last one on
-- Cost    n jobs: 3 commands, and one for those with progress; O(n log r) with r running
local n, last = tonumber(ARGV[3]), now + ARGV[2]
local reply, leases, states, progress, lease = { 'extended', last }, {}, {}, {}, ''
for at = 4 + 2 * n, #ARGV, 2 do progress[tonumber(ARGV[at])] = ARGV[at + 1] end

local function answer(index, word, ends)
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = index - 1, word, ends
end

local stored = call('HMGET', state, unpack(ARGV, 4, 3 + n))
local ends = call('ZMSCORE', leased, unpack(ARGV, 4, 3 + n))
for i = 1, n do
  local id, s, held_until = ARGV[3 + i], stored[i], tonumber(ends[i] or 0)
  if ARGV[3 + n + i] ~= '' then lease = ARGV[3 + n + i] end
  if s and sub(s, 1, 17) == lease and held_until > now then
    local flags = byte(s, 27)
    if flags % 2 == 1 then
      answer(i, 'cancel', math.max(held_until, last))
    elseif held_until > last then
      answer(i, 'until', held_until)
    end
    if held_until < last then
      leases[#leases + 1] = decimal(last)
      leases[#leases + 1] = id
    end
    if progress[i] then
      local at = 29 + byte(s, 28)
      states[#states + 1] = id
      states[#states + 1] = sub(s, 1, 26) .. char(flags - flags % 8 + flags % 4 + 4)
        .. sub(s, 28, at + 1 + unpack_bytes('>I2', s, at)) .. progress[i]
    end
  else
    answer(i, 'lost', 0)
  end
end
many('ZADD', leased, leases)
many('HSET', state, states)
return reply
