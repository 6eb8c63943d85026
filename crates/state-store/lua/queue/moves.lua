-- What becomes of jobs: it is collected, and then written.
-- needs: ENTRY, add, attempts_of, byte, call, completed, count, dead, decimal, due, first_score
-- needs: has_flag, jobs, keep_finished, leased, leave, many, meta, now, now_up, ready, release
-- needs: settled, state, unique_of, unpack_bytes, write_batches

-- A list for each sorted set.
local function by_index() return { [due] = {}, [leased] = {}, [completed] = {}, [dead] = {} } end

-- `entered`: scores and members. `tails` and `heads`: ids that are added to the ready lists.
-- `freed`: unique keys and the jobs that hold them. `moving`: batches that jobs leave.
local function new_moves()
  return { entered = by_index(), left = by_index(), tails = { [0] = {}, {}, {}, {} },
    heads = { [0] = {}, {}, {}, {} }, states = {}, records = {}, forgotten = {}, freed = {},
    moving = {},
    counts = { alive = 0, scheduled = 0, running = 0, dead_bytes = 0, completed_bytes = 0 } }
end

local moved = new_moves()

local function move_count(field, more) moved.counts[field] = moved.counts[field] + more end

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

-- Releases the unique key of a job, if it has one.
local function free(job)
  local key = job.record and unique_of(job.record)
  if key then add(moved.freed, key, job.id) end
end

-- The job is dead or completed, and kept since or until a time.
local function finish(job, place, at, s)
  add(moved.entered[place == 'dead' and dead or completed], decimal(at), job.id)
  add(moved.states, job.id, s)
  move_count(place .. '_bytes', ENTRY + #job.record + #s)
  move_count('alive', -1)
  free(job)
end

local function die(job, reason)
  finish(job, 'dead', now, settled(job.s, 'd', attempts_of(job.s), reason))
end

local function forget(job)
  table.insert(moved.forgotten, job.id)
  move_count('alive', -1)
  free(job)
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

-- An attempt has failed.
local function fail(job, after, reason)
  local attempts = attempts_of(job.s)
  local is_last = attempts >= unpack_bytes('>I2', job.s, 21)
  if is_last and not has_flag(job.s, 1) then return die(job, reason) end
  wait_again(job, after, attempts, reason)
end

-- Writes what was collected. Adding: index entry, state, then record or batch; removing: record,
-- then the rest. `moving` names the batches of which jobs become single ones: see `repair`. Returns
-- whether waiting workers are to be notified.
local function flush(bounds)
  local is_news, moving, moves = false, {}, moved
  moved = new_moves()
  local first_due = moves.entered[due][1] and first_score(due) or math.huge
  for id in pairs(moves.moving) do moving[#moving + 1] = id end
  if moving[1] then call('HSET', meta, 'moving', table.concat(moving)) end
  for i = 1, #moves.entered[due], 2 do
    is_news = is_news or tonumber(moves.entered[due][i]) < first_due
  end
  for index, entries in pairs(moves.entered) do many('ZADD', index, entries) end
  for priority = 0, 3 do
    is_news = is_news or #moves.tails[priority] + #moves.heads[priority] > 0
    many('RPUSH', ready(priority), moves.tails[priority])
    many('LPUSH', ready(priority), moves.heads[priority])
  end
  many('HSET', state, moves.states)
  many('HSET', jobs, moves.records)
  write_batches()
  if moving[1] then call('HDEL', meta, 'moving') end
  many('HDEL', jobs, moves.forgotten)
  many('HDEL', state, moves.forgotten)
  for i = 1, #moves.freed, 2 do release(moves.freed[i], moves.freed[i + 1]) end
  for index, members in pairs(moves.left) do many('ZREM', index, members) end
  for field, more in pairs(moves.counts) do count(field, more) end
  local n_finished = (#moves.entered[dead] + #moves.entered[completed]) / 2
  if n_finished > 0 then keep_finished(bounds, n_finished, moves.counts.completed_bytes) end
  return is_news
end
