-- Collects what becomes of jobs; `flush` writes it.
-- needs: NO_FENCE, add, attempts_of, bit_of, byte, call, decimal, has_flag, job_id, jobs
-- needs: lease_of, leave, now, now_up, record_in, running, settled, sub, unique_of
local moved

local function begin_moves()
  moved = {
    due = {}, dead = {}, completed = {}, leases = {}, states = {}, records = {}, forgotten = {},
    never_due = {}, left = {}, freed = {}, moving = {}, tails = { [0] = {}, {}, {}, {} },
    heads = { [0] = {}, {}, {}, {} }, alive = 0, scheduled = 0, running = 0,
  }
end

begin_moves()

-- The unique key that the job holds until it is finished is released. `key`: it, as the client has it,
-- or ''.
local function free(id, s, key)
  if not has_flag(s, 2) then return end
  if key == '' then
    local record = call('HGET', jobs, id)
    key = record and unique_of(record)
  end
  if key then add(moved.freed, key, id) end
end

-- Waits again: in `after` ms, or now behind the others.
local function wait_again(id, s, after)
  local priority = byte(s, 20)
  if after == 0 then
    table.insert(moved.tails[priority], id)
  else
    add(moved.due, decimal(now_up + after), priority .. id)
    moved.scheduled = moved.scheduled + 1
  end
  add(moved.states, id, s)
end

local function die(id, s, fence, reason, key)
  add(moved.dead, decimal(now), id)
  add(moved.states, id, settled(s, 'd', fence, attempts_of(s), reason))
  moved.alive = moved.alive - 1
  free(id, s, key)
end

local function forget(id, s, key)
  table.insert(moved.forgotten, id)
  moved.alive = moved.alive - 1
  free(id, s, key)
end

-- Makes a position of a batch a single job. `change` gets its id and its state, as if it were single
-- and had run once, and collects what becomes of it.
local function extract(batch, blob, position, change)
  local id, record = job_id(batch.id, position), record_in(blob, position)
  local lease = lease_of(batch, position)
  local fence, worker = NO_FENCE, ''
  if lease then fence, worker = lease.fence, lease.worker end
  change(id, running(fence, 1, sub(record, 3, 9), 0, worker))
  add(moved.records, id, record .. batch.at)
  moved.moving[batch.id] = true
  leave(batch, bit_of(position))
end
