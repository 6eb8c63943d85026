-- queue/explain: why a job does not run.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3 packed id
-- Returns 'shape' and the recorded one, or where the job is, state or '', the time of the place in
--         ms or '', whether the queue is paused (0 or 1), how many ready jobs are before it at
--         most, and now in ms
-- Retry   reads only
-- Cost    up to 13 commands, O(bytes of the job or of its batch; up to 100 elements of each list)
-- needs: byte, call, find, meta, now, ones, read_batch, ready
local shape = call('HGET', meta, 'shape')
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local place, record, s, at = find(ARGV[3])
if place == 'unknown' then return { place } end

-- The ready jobs of this list, at most: a batch counts as all its jobs.
local function ready_before(priority)
  local n = 0
  for _, id in ipairs(call('LRANGE', ready(priority), 0, 99)) do
    local batch = byte(id) == 2 and read_batch(id)
    n = n + (batch and ones(batch.low) + ones(batch.high) or 1)
  end
  return n
end

local before, listed = 0, 0
for priority = 0, place == 'ready' and byte(record, 3) or -1 do
  before, listed = before + ready_before(priority), math.max(listed, call('LLEN', ready(priority)))
end
if listed > 100 then before = tonumber(call('HGET', meta, 'alive') or 1) end
return { place, s, at, call('HEXISTS', meta, 'paused'), before, now }
