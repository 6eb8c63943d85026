-- Fast path of a claim: the first jobs are in batches of which none was claimed or cancelled yet.
-- needs: add, answer_claim, byte, call, count, decimal, is_plain, jobs, last_fence, leased, meta
-- needs: micros, n_lists, next_due, next_end, now_up, pack, ready, state, sub, unpack_bytes
local new_fence = string.format('%016.0f', math.max(micros, (last_fence or -1) + 1))

-- The first `n` positions.
local function first_positions(n)
  return 2 ^ math.min(n, 32) - 1, 2 ^ math.max(n - 32, 0) - 1
end

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
    local blob = s and #s == 15 and call('HGET', jobs, id)
    if not blob or #blob > room then return nil end
    local n, low, high, kind = byte(blob), unpack_bytes('>I4I4B', s, 7)
    local all_low, all_high = first_positions(n)
    local wanted = math.min(n, claim.most - claim.count)
    if kind >= 16 or low ~= all_low or high ~= all_high or 4 * wanted < n then return nil end
    local positions = pack('>I4I4', first_positions(wanted))
    add(claim.items, '\2' .. sub(id, 2) .. positions .. sub(s, 1, 6), blob)
    seen[id] = true
    add(states, id, s .. lease .. positions .. worker)
    add(leases, decimal(claim.ends), id)
    claim.count, room = claim.count + wanted, room - #blob
    if wanted == n then n_whole = n_whole + 1 end
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
  call('ZADD', leased, unpack(new_leases))
  call('HSET', state, unpack(new_states))
  count('running', fast_claim.count)
  if n_whole > 0 then call('LTRIM', source, n_whole, -1) end
  return answer_claim(fast_claim, are_more, next_due, next_end)
end
