-- Fast path of a settlement: all jobs are just complete, held, and without a unique key.
-- needs: byte, call, first_score, is_repeat, jobs, leased, leave, many, meta, n_alive, n_running
-- needs: now, ones, read_singles, rest, state, sub, visit_batches, write_batches
local earlier = is_repeat and call('GET', KEYS[15])
if earlier then
  -- Written again: a server waits for the durability of the last write of a connection.
  call('SET', KEYS[15], earlier, 'PX', ARGV[3])
  return cmsgpack.unpack(earlier)
end

local n_settled, singles, others = 0, {}, {}

local function complete(batch, _, positions)
  n_settled = n_settled + ones(positions)
  leave(batch, positions)
  return true
end

local n_plain = read_singles(ARGV[6], visit_batches(ARGV[5], complete))
local states = rest.ids[1] and call('HMGET', state, unpack(rest.ids)) or {}
local has_expired = states[1] ~= nil and (first_score(leased) or 0) <= now
for i, s in ipairs(states) do
  if has_expired or not s or sub(s, 1, 17) ~= 'r' .. rest.fences[i] or byte(s, 27) % 4 >= 2 then
    others[#others + 1] = i
  else
    singles[#singles + 1] = rest.ids[i]
  end
end
if not others[1] and #ARGV == 6 then
  n_settled = n_settled + #singles
  write_batches()
  many('HDEL', jobs, singles)
  many('HDEL', state, singles)
  many('ZREM', leased, singles)
  call('HSET', meta, 'alive', (n_alive or 0) - n_settled, 'running', (n_running or 0) - n_settled)
  call('SET', KEYS[15], '\145\167settled', 'PX', ARGV[3])
  return { 'settled' }
end
