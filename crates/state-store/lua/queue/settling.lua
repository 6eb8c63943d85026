-- Ends leases of jobs.
-- needs: bit_of, call, common, contains, extract, first_score, forget, is_repeat, job_id, jobs
-- needs: leased, leave, moved, now, ones, read_batch, state, sub

-- What a settlement collects. `unusual`: for the number of each job that is not just complete the
-- index of its arguments. Numbers begin with 1.
local function new_settlement(unusual)
  return { unusual = unusual, number = 0, refused = { 'settled' }, found = {}, singles = {} }
end

-- `is_batched`: it is in its batch, and not leased under this fence.
local function add_single(settlement, id, fence, is_batched)
  settlement.number = settlement.number + 1
  table.insert(settlement.singles,
    { id = id, fence = fence, number = settlement.number, is_batched = is_batched })
end

local function complete(batch, low, high)
  local n = ones(low) + ones(high)
  moved.alive, moved.running = moved.alive - n, moved.running - n
  leave(batch, low, high)
end

-- Settles positions of a batch. One that is no longer in it may be a single job now.
local function settle_batch(settlement, batch_id, fence, low, high)
  local batch, done_low, done_high = read_batch(batch_id), 0, 0
  for _, lease in ipairs(batch and batch.leases or {}) do
    if lease.fence == fence and lease.ends > now then
      done_low, done_high = done_low + common(lease.low, low), done_high + common(lease.high, high)
      lease.heard, batch.is_changed = 1, true
    end
  end
  if done_low == low and done_high == high and not next(settlement.unusual) then
    settlement.number = settlement.number + ones(low) + ones(high)
    return complete(batch, low, high)
  end
  for position = 0, 63 do
    local is_held = contains(done_low, done_high, position)
    if contains(low, high, position) and not is_held then
      local is_batched = batch and contains(batch.low, batch.high, position)
      add_single(settlement, job_id(batch_id, position), fence, is_batched)
    elseif is_held then
      settlement.number = settlement.number + 1
      local at = settlement.unusual[settlement.number]
      if at then
        settlement.found[at] = { batch = batch, position = position }
      else
        complete(batch, bit_of(position))
      end
    end
  end
end

-- Whether a job was settled under this fence and was not claimed since.
local function is_settled(s, fence) return s and sub(s, 1, 1) ~= 'r' and sub(s, 2, 17) == fence end

-- Settles the single jobs that were added.
local function settle_singles(settlement)
  local ids = {}
  for i, single in ipairs(settlement.singles) do ids[i] = single.id end
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    local states = call('HMGET', state, unpack(ids, first, last))
    local ends = (first_score(leased) or 0) <= now and call('ZMSCORE', leased, unpack(ids, first, last))
    for i = first, last do
      local s, single = states[i - first + 1], settlement.singles[i]
      local is_held = s and sub(s, 1, 17) == 'r' .. single.fence
      if is_held and not (ends and tonumber(ends[i - first + 1] or 0) <= now) then
        local at = settlement.unusual[single.number]
        table.insert(moved.left, single.id)
        moved.running = moved.running - 1
        if at then
          settlement.found[at] = { id = single.id, s = s }
        else
          forget(single.id, s, '')
        end
      elseif is_repeat and not s and not single.is_batched then
        -- Gone, and no memory: an earlier copy may have been interrupted after it had settled it.
        settlement.is_unknown = true
      elseif not is_settled(s, single.fence) then
        table.insert(settlement.refused, single.number - 1)
      end
    end
  end
end

-- Calls `outcome` for a job that was found: a single one, or one that leaves its batch.
local function settle_found(found, outcome, is_removed)
  if found.id then return outcome(found.id, found.s) end
  if is_removed then return complete(found.batch, bit_of(found.position)) end
  moved.running = moved.running - 1
  found.batch.blob = found.batch.blob or call('HGET', jobs, found.batch.id)
  extract(found.batch, found.batch.blob, found.position, outcome)
end
