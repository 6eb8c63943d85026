-- The steps of a run, in a hash:
--   run     layout, until when the run lasts (ms, 15 digits), the latest attempt (16 digits; zeros
--           in a run whose attempts are counted for each step), how many steps it has
--   n0 …    the name of the first step that began, and so on
--   s NAME  layout, state, attempt (16 digits), number of attempts (6 digits), first began, began,
--           ended (ms, 15 digits each; 0: it runs), bytes of the output (6 digits), last error
--   o NAME  output
-- State: `r` running, `f` failed, `d` finished, `z` a sleep, which is over when it ended.
-- Numbers stay text, which sorts as they do, unless they are calculated with.
-- needs: call, now, layout, unreadable
local no_attempt, no_time = string.rep('0', 16), string.rep('0', 15)

-- Times (ms) in 15 digits, by the time: those of one call repeat.
local digits = {}
local function time_digits(ms)
  local found = digits[ms]
  if not found then
    found = string.format('%015d', ms)
    digits[ms] = found
  end
  return found
end

-- Reads a step of a run: its run, and itself if it was begun and the run lasts. `failure` if it
-- cannot be read.
local function read_step(key, name)
  local field, failure = 's' .. name, nil
  local stored = redis.pcall('HMGET', key, 'run', field, 'o' .. name)
  if stored.err then return {failure = stored.err} end
  local head, entry, till, latest, steps = stored[1], stored[2], no_time, no_attempt, 0
  if head then
    failure = unreadable(head)
    if not failure and #head < 33 then failure = 'TWCORRUPT the entry is no run' end
    if failure then return {failure = failure} end
    till, latest = struct.unpack('c15c16', head, 2)
    steps = tonumber(string.sub(head, 33))
    if not steps then return {failure = 'TWCORRUPT the entry is no run'} end
  end
  local is_expired = head and till <= time_digits(now)
  if is_expired then till, latest, steps = no_time, no_attempt, 0 end
  if is_expired or not entry then
    return {
      key = key, name = name, field = field, steps = steps, till = till, latest = latest,
      is_expired = is_expired,
    }
  end
  failure = unreadable(entry)
  if not failure and not tonumber(string.sub(entry, 55, 75)) then
    failure = 'TWCORRUPT the entry is no step'
  end
  if failure then return {failure = failure} end
  local letter, attempt, attempts, began_first, began, ended
    = struct.unpack('c1c16c6c15c15c15', entry, 2)
  return {
    key = key, name = name, field = field, steps = steps, till = till, latest = latest,
    entry = entry, output = stored[3] or '', state = letter, attempt = attempt,
    attempts = attempts, first = began_first, began = began, ended = ended,
  }
end

-- An entry of a step that `read_step` has read, by an attempt.
local function step_entry(read, letter, attempt, ended, length, reason)
  local times = read.first .. read.began .. ended .. string.format('%06d', length)
  return layout .. letter .. attempt .. read.attempts .. times .. reason
end

-- The last error of a step that was read, or ''.
local function recorded_error(read) return read.entry and string.sub(read.entry, 76) or '' end

-- Writes a step that `read_step` has read, and its output unless that is nil. The run lasts at
-- least until `lasts` (ms), and may be collected `margin` (ms) later. One command writes it all.
local function write_step(read, latest, lasts, margin, entry, output)
  local key, field, steps, till = read.key, read.field, read.steps, time_digits(lasts)
  if till < read.till then till, lasts = read.till, tonumber(read.till) end
  local extra, value = nil, output
  if not read.entry then
    extra, value, steps = 'n' .. string.format('%d', steps), read.name, steps + 1
  elseif output then
    extra = 'o' .. read.name
  end
  local head = layout .. till .. latest .. string.format('%d', steps)
  if read.is_expired then call('DEL', key) end
  if extra then
    call('HSET', key, 'run', head, field, entry, extra, value)
  else
    call('HSET', key, 'run', head, field, entry)
  end
  call('PEXPIRE', key, string.format('%d', lasts - now + margin))
end
