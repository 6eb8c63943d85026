-- Fast path of a settlement: all jobs are just complete, held, and without a unique key.
-- needs: leave, many, ones, read_singles, repair, rest, visit_batches, write_batches
if interrupted then repair(interrupted) end
local n_settled, ids = 0, {}

local function complete(batch, _, positions)
  n_settled = n_settled + ones(positions)
  leave(batch, positions)
  return true
end

local n_named = read_singles(ARGV[6], visit_batches(ARGV[5], complete))
for i, job in ipairs(rest) do ids[i] = job.id end
local states = ids[1] and call('HMGET', state, unpack(ids)) or {}
local is_plain = #ARGV == 6 and (not ids[1] or (first_score(leased) or math.huge) > now)
for i, s in ipairs(states) do
  is_plain = is_plain and s and sub(s, 1, 17) == 'r' .. rest[i].fence and byte(s, 27) % 4 < 2
end
if is_plain then
  n_settled = n_settled + #ids
  write_batches()
  many('HDEL', jobs, ids)
  many('HDEL', state, ids)
  many('ZREM', leased, ids)
  call('HSET', meta, 'alive', (n_alive or 0) - n_settled, 'running', (n_running or 0) - n_settled)
  call('SET', KEYS[15], '\145\167settled', 'PX', ARGV[3])
  return 'settled'
end
