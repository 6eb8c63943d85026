-- Fast path of a settlement that names only single jobs: all are just complete, held, and without
-- a unique key.
-- needs: many, read_singles, rest

-- Completes the single jobs, and `n` jobs of batches, which `write` writes. Returns false, and
-- writes nothing, if a single job is not held or has a unique key, or if others are named.
local function complete_plain(n, write)
  local ids = {}
  for i, job in ipairs(rest) do ids[i] = job.id end
  if #ARGV > 6 or ids[1] and call('ZCOUNT', leased, '-inf', decimal(now)) > 0 then return false end
  for i, s in ipairs(ids[1] and call('HMGET', state, unpack(ids)) or {}) do
    if not s or sub(s, 1, 17) ~= 'r' .. rest[i].fence or byte(s, 27) % 4 >= 2 then return false end
  end
  n = n + #ids
  if write then write() end
  many('HDEL', jobs, ids)
  many('HDEL', state, ids)
  many('ZREM', leased, ids)
  call('HSET', meta, 'alive', (n_alive or 0) - n, 'running', (n_running or 0) - n)
  call('SET', KEYS[15], '\145\167settled', 'PX', ARGV[3])
  return true
end

local n_single = ARGV[5] == '' and not interrupted and read_singles(ARGV[6], 0)
if n_single and complete_plain(0) then return 'settled' end
