-- The retries of an operation, a string: layout, state, fence of the last attempt (16 digits),
-- number of attempts (6 digits), when the first began, when the last began, when the next may
-- begin, until when the record lasts (ms, 15 digits each), the request of the last attempt (16
-- bytes), the last error.
-- State: `r` an attempt runs until the next may begin, `w` waiting, `x` exhausted, `d`
-- succeeded. A cleared record has the expiry 0.
-- needs: call, now, layout, unreadable

-- Reads a record. `state` is nil if there is none or it has expired; `failure` if it cannot be
-- read. An expired one still has its fence.
local function read_operation(key)
  local value, sub = redis.pcall('GET', key), string.sub
  if type(value) == 'table' and value.err then return {failure = value.err} end
  local read = {key = key, fence = string.rep('0', 16), till = 0}
  if not value then return read end
  local failure, till = unreadable(value), tonumber(sub(value, 70, 84))
  if not failure and not (till and tonumber(sub(value, 3, 69)) and #value >= 100) then
    failure = 'TWCORRUPT the entry is no retried operation'
  end
  if failure then return {failure = failure} end
  read.fence = sub(value, 3, 18)
  if till <= now then return read end
  read.value, read.state, read.till = value, sub(value, 2, 2), till
  read.attempts, read.first = tonumber(sub(value, 19, 24)), tonumber(sub(value, 25, 39))
  read.began, read.next = tonumber(sub(value, 40, 54)), tonumber(sub(value, 55, 69))
  read.request, read.last_error = sub(value, 85, 100), sub(value, 101)
  return read
end

-- Writes a record, which lasts at least until `lasts` (ms), and may be collected `margin` (ms)
-- later.
local function write_operation(read, lasts, margin)
  read.till = math.max(read.till, lasts)
  local times = string.format('%015d%015d%015d', read.first, read.began, read.next)
  local head = layout .. read.state .. read.fence .. string.format('%06d', read.attempts) .. times
  local value = head .. string.format('%015d', read.till) .. read.request .. read.last_error
  call('SET', read.key, value, 'PX', string.format('%d', read.till - now + margin))
end

-- Has a record expire. Its fence is kept for `kept` (ms): the next attempt gets a higher one.
local function clear_operation(read, kept)
  local head, request = string.sub(read.value, 1, 69), string.sub(read.value, 85, 100)
  call('SET', read.key, head .. string.rep('0', 15) .. request, 'PX', kept)
end
