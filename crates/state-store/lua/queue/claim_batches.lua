-- Fast path of a claim: the first jobs are in batches without delays.
-- needs: add, answer_claim, byte, call, count, decimal, first_positions, is_plain, jobs, last_fence
-- needs: leased, meta, micros, n_lists, next_due, next_end, now_up, pack, ready, state, sub
-- needs: unpack_bytes
local new_fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))

-- Collects items, states and ends of leases. Returns the list and how many of its batches are
-- claimed whole; nil if the claim finds anything else, or too little.
local function collect(claim, states, leases)
  local key, ids, room, n_whole, seen = nil, {}, tonumber(ARGV[7]), 0, {}
  for priority = 0, 3 do
    key = ready(priority)
    ids = call('LRANGE', key, 0, 7)
    if ids[1] then break end
  end
  local lease, worker = claim.fence .. pack('>I6', claim.ends), pack('BB', 0, #ARGV[6]) .. ARGV[6]
  for _, id in ipairs(ids) do
    if claim.count == claim.most then break end
    local s = byte(id) == 2 and not seen[id] and call('HGET', state, id)
    local blob = s and byte(s, 15) < 16 and call('HGET', jobs, id)
    if not blob or #blob > room then return nil end
    local from, low, high = 16, unpack_bytes('>I4I4', s, 7)
    while from < #s do
      local leased_low, leased_high, _, size = unpack_bytes('>I4I4BB', s, from + 22)
      low, high, from = low - leased_low, high - leased_high, from + 32 + size
    end
    local first_low, first_high, n = first_positions(low, high, claim.most - claim.count)
    if 4 * n < byte(blob) then return nil end
    local positions = pack('>I4I4', first_low, first_high)
    add(claim.items, '\2' .. sub(id, 2) .. positions .. sub(s, 1, 6), blob)
    seen[id] = true
    add(states, id, s .. lease .. positions .. worker)
    add(leases, decimal(claim.ends), id)
    claim.count, room = claim.count + n, room - #blob
    if first_low == low and first_high == high then n_whole = n_whole + 1 end
  end
  local is_read, is_only = #ids < 8, n_lists == 1
  if claim.count == claim.most or is_read and is_only then
    return key, n_whole, n_whole < #ids or not is_read or not is_only
  end
end

local fast_claim = { fence = new_fence, ends = now_up + ARGV[5], most = tonumber(ARGV[4]),
  count = 0, items = {}, past = {} }
local new_states, new_leases = {}, {}
local source, n_whole, are_more = nil, nil, nil
if is_plain then source, n_whole, are_more = collect(fast_claim, new_states, new_leases) end
if source then
  call('HSET', meta, 'fence', new_fence)
  -- The score is the end of the batch's first lease.
  call('ZADD', leased, 'LT', unpack(new_leases))
  call('HSET', state, unpack(new_states))
  count('running', fast_claim.count)
  if n_whole > 0 then call('LTRIM', source, n_whole, -1) end
  return answer_claim(fast_claim, are_more, next_due, next_end)
end
