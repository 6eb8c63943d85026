-- Collects what becomes of jobs; flush.lua writes it.
local NO_FENCE, moved = '0000000000000000', nil

local function begin_moves()
  moved = { due = {}, dead = {}, completed = {}, states = {}, forgotten = {}, left = {}, freed = {},
    tails = { [0] = {}, {}, {}, {} }, heads = { [0] = {}, {}, {}, {} } }
end

local function add(list, first, second)
  local at = #list
  list[at + 1], list[at + 2] = first, second
end

-- A state without a worker, made from another one of the same job.
local function settled(s, status, fence, attempts, reason, result)
  local flags = (byte(s, 27) % 4 >= 2 and 2 or 0) + (result and 4 or 0) + (reason and 8 or 0)
  reason = reason or ''
  return status .. fence .. pack('>I2', attempts) .. sub(s, 20, 26) .. pack('>BBI2', flags, 0, #reason) .. reason
    .. (result or '')
end

local function attempts_of(s) return (unpack_bytes('>I2', s, 18)) end

-- The unique key that the job holds until it is finished is to be given back. `key`: what the client says it is, or ''.
local function free(id, s, key)
  if byte(s, 27) % 4 < 2 then return end
  if key == '' then
    local record = call('HGET', jobs, id)
    key = record and unique_of(record)
  end
  if key then add(moved.freed, key, id) end
end

-- Waits again: in `after` ms, or at once behind the others.
local function wait_again(id, s, after)
  local priority = byte(s, 20)
  if after == 0 then
    table.insert(moved.tails[priority], id)
  else
    add(moved.due, decimal(now_up + after), priority .. id)
  end
  add(moved.states, id, s)
end

local function die(id, s, fence, reason, key)
  add(moved.dead, decimal(now), id)
  add(moved.states, id, settled(s, 'd', fence, attempts_of(s), reason))
  free(id, s, key)
end

local function forget(id, s, key)
  table.insert(moved.forgotten, id)
  free(id, s, key)
end
