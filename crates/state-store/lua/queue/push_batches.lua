-- Pushes jobs with assigned ids, without a unique key.
-- needs: count, enqueue
local push_time, behind = pack('>I6', now_up), 5 + 3 * ARGV[4]

-- Stores the jobs, with one command for their records and `stored`. Returns whether waiting workers
-- are to be notified, and what the push returns.
local function push_batches(stored)
  local dues, tails, new, word, n_new, n_later = {}, { [0] = {}, {}, {}, {} }, {}, 'pushed', 0, 0
  for at = 5, behind - 1, 3 do
    local id, kind, _, delay = ARGV[at + 1], unpack_bytes('>BBI6', ARGV[at])
    if not is_repeat or call('HEXISTS', jobs, id) == 0 then
      -- An interrupted copy may have left it.
      if is_repeat then call('HDEL', state, id) end
      if delay == 0 then
        table.insert(tails[kind % 4], id)
      elseif not call('ZSCORE', due, kind % 4 .. id) then
        -- An existing batch keeps its time.
        add(dues, decimal(now_up + delay), kind % 4 .. id)
      end
      new[#new + 1] = at
    end
  end
  -- Index entry, state, record: a claim removes what an interrupted script leaves.
  local has_news = enqueue(dues, tails)
  for _, at in ipairs(new) do
    local id, record, kind, n, delay = ARGV[at + 1], ARGV[at + 2], unpack_bytes('>BBI6', ARGV[at])
    local s = push_time .. sub(ARGV[at], 9) .. char(kind)
    if n > 1 and call('HSETNX', state, id, s) == 0 then
      -- An existing batch is never written over.
      word = 'taken'
    else
      add(stored, id, n > 1 and record or record .. push_time)
      n_new, n_later = n_new + n, n_later + (delay > 0 and n or 0)
    end
  end
  if stored[1] then call('HSET', jobs, unpack(stored)) end
  count('alive', n_new)
  count('scheduled', n_later)
  return has_news, word
end
