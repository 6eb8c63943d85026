-- What becomes of jobs: it is collected, and then written.
-- needs: ENTRY, attempts_of, count, enqueue, has_flag, keep_finished, last_error
-- needs: leave, many, release, settled, unique_of, write_batches

-- `entered` and `left`: scores and members, or members, for each sorted set. `tails` and `heads`:
-- ids that are added to the ready lists. `freed`: unique keys and the jobs that hold them.
-- `moving`: batches that jobs leave. `counts`: what is added to counters.
local function new_moves()
  return { entered = { [due] = {}, [leased] = {}, [completed] = {}, [dead] = {} },
    left = { [due] = {}, [leased] = {}, [completed] = {}, [dead] = {} },
    tails = { [0] = {}, {}, {}, {} }, heads = { [0] = {}, {}, {}, {} }, states = {},
    records = {}, forgotten = {}, freed = {}, moving = {}, counts = {} }
end

local moved = new_moves()

local function move_count(field, more)
  moved.counts[field] = (moved.counts[field] or 0) + more
end

-- Takes a job from its place. Counts it as one that waits.
local function take_out(job)
  if job.place == 'scheduled' or job.place == 'running' then
    move_count(job.place, -1)
  elseif job.place ~= 'ready' then
    move_count(job.place .. '_bytes', -ENTRY - #job.record - #job.s)
    move_count('alive', 1)
  end
  if job.batch then
    leave(job.batch, 2 ^ job.position)
  else
    table.insert(moved.left[job.index], job.member)
  end
end

-- Takes a job from its place, and makes it a single job if it is of a batch.
local function extract(job)
  take_out(job)
  if job.batch then
    add(moved.records, job.id, job.record)
    moved.moving[job.batch.id] = true
  end
end

-- A running job gets another state, and its lease another end. It becomes a single job.
local function stay(job, s, ends)
  if job.batch then
    extract(job)
    move_count('running', 1)
  end
  if job.batch or ends ~= job.at then add(moved.entered[leased], ends, job.id) end
  if job.batch or s ~= job.s then add(moved.states, job.id, s) end
end

-- The job does not exist, or not for long: counts it, and releases its unique key.
local function end_life(job)
  local key = job.record and unique_of(job.record)
  if key then add(moved.freed, key, job.id) end
  move_count('alive', -1)
end

-- The job is dead or completed, and kept since or until a time.
local function finish(job, place, at, s)
  add(moved.entered[place == 'dead' and dead or completed], decimal(at), job.id)
  add(moved.states, job.id, s)
  move_count(place .. '_bytes', ENTRY + #job.record + #s)
  end_life(job)
end

local function die(job, reason)
  finish(job, 'dead', now, settled(job.s, 'd', attempts_of(job.s), reason))
end

local function forget(job)
  table.insert(moved.forgotten, job.id)
  end_life(job)
end

-- The job waits again: for `after` ms; 0: behind the others; -1: before them. It is removed if its
-- cancellation was requested.
local function wait_again(job, after, attempts, reason)
  if has_flag(job.s, 1) then return forget(job) end
  local priority = byte(job.s, 20)
  if after > 0 then
    add(moved.entered[due], decimal(now_up + after), priority .. job.id)
    move_count('scheduled', 1)
  else
    table.insert((after == 0 and moved.tails or moved.heads)[priority], job.id)
  end
  add(moved.states, job.id, settled(job.s, 'w', attempts, reason))
end

-- The delivery is no attempt.
local function put_back(job, after)
  wait_again(job, after, attempts_of(job.s) - 1, last_error(job.s))
end

-- The attempt has failed.
local function fail(job, after, reason)
  local is_last = attempts_of(job.s) >= unpack_bytes('>I2', job.s, 21)
  if is_last and not has_flag(job.s, 1) then return die(job, reason) end
  wait_again(job, after, attempts_of(job.s), reason)
end

-- Writes what was collected. Adding: index entry, state, then record or batch; removing: record,
-- then the rest. `moving` names the batches of which jobs become single ones: see `repair`. Returns
-- whether waiting workers are to be notified.
local function flush(bounds)
  local moving, moves = {}, moved
  moved = new_moves()
  local entered, counts = moves.entered, moves.counts
  for id in pairs(moves.moving) do moving[#moving + 1] = id end
  if moving[1] then call('HSET', meta, 'moving', table.concat(moving)) end
  local is_news = enqueue(entered[due], moves.tails)
  for priority = 0, 3 do
    is_news = is_news or moves.heads[priority][1] ~= nil
    many('LPUSH', ready(priority), moves.heads[priority])
  end
  for _, index in ipairs({ leased, completed, dead }) do many('ZADD', index, entered[index]) end
  many('HSET', state, moves.states)
  many('HSET', jobs, moves.records)
  write_batches()
  if moving[1] then call('HDEL', meta, 'moving') end
  many('HDEL', jobs, moves.forgotten)
  many('HDEL', state, moves.forgotten)
  for i = 1, #moves.freed, 2 do release(moves.freed[i], moves.freed[i + 1]) end
  for index, members in pairs(moves.left) do many('ZREM', index, members) end
  for field, more in pairs(counts) do count(field, more) end
  local n_finished = (#entered[dead] + #entered[completed]) / 2
  if n_finished > 0 then keep_finished(bounds, n_finished, counts.completed_bytes or 0) end
  return is_news
end
