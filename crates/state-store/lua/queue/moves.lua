-- Collects what becomes of jobs; `flush` writes it.
-- needs: NO_FENCE, add, attempts_of, bit_of, by_priority, byte, call, completed, dead, decimal, due
-- needs: has_flag, job_id, jobs, lease_of, leased, leave, now, now_up, record_in, running, settled
-- needs: sub, unique_of, unpack_bytes

-- A list for each sorted set.
local function by_index() return { [due] = {}, [leased] = {}, [completed] = {}, [dead] = {} } end

-- `entered`: scores and members. `tails` and `heads`: ids that are added to the ready lists.
-- `freed`: unique keys and the jobs that hold them. `moving`: batches that jobs leave.
local function new_moves()
  return { entered = by_index(), left = by_index(), tails = by_priority(), heads = by_priority(),
    states = {}, records = {}, forgotten = {}, freed = {}, moving = {},
    counts = { alive = 0, scheduled = 0, running = 0, dead_bytes = 0, completed_bytes = 0 },
  }
end

local moved = new_moves()

-- Releases the unique key that the job holds until it is finished.
local function free(id, s)
  local record = has_flag(s, 2) and call('HGET', jobs, id)
  if record then add(moved.freed, unique_of(record), id) end
end

-- A job is finished, and kept until or since a time.
local function finish(id, s, index, at, finished)
  add(moved.entered[index], decimal(at), id)
  add(moved.states, id, finished)
  moved.counts.alive = moved.counts.alive - 1
  free(id, s)
end

local function die(id, s, reason)
  finish(id, s, dead, now, settled(s, 'd', attempts_of(s), reason))
end

local function forget(id, s)
  table.insert(moved.forgotten, id)
  moved.counts.alive = moved.counts.alive - 1
  free(id, s)
end

-- The job waits again: for `after` ms; 0: behind the others; -1: before them. It is removed if its
-- cancellation was requested.
local function wait_again(id, s, after, attempts, reason)
  if has_flag(s, 1) then return forget(id, s) end
  local priority = byte(s, 20)
  if after > 0 then
    add(moved.entered[due], decimal(now_up + after), priority .. id)
    moved.counts.scheduled = moved.counts.scheduled + 1
  else
    table.insert((after == 0 and moved.tails or moved.heads)[priority], id)
  end
  add(moved.states, id, settled(s, 'w', attempts, reason))
end

-- An attempt has failed.
local function fail(id, s, after, reason)
  local attempts = attempts_of(s)
  local is_last = attempts >= unpack_bytes('>I2', s, 21)
  if is_last and not has_flag(s, 1) then return die(id, s, reason) end
  wait_again(id, s, after, attempts, reason)
end

-- Makes a position of a batch a single job. Returns its id and its state, as if it had been single
-- and had run once.
local function extract(batch, position)
  batch.blob = batch.blob or call('HGET', jobs, batch.id)
  local id, record = job_id(batch.id, position), record_in(batch.blob, position)
  local lease = lease_of(batch, position) or { fence = NO_FENCE, worker = '' }
  local s = running(lease.fence, 1, sub(record, 3, 9), 0, lease.worker)
  add(moved.records, id, record .. batch.at)
  moved.moving[batch.id] = true
  leave(batch, bit_of(position))
  return id, s
end
