-- The steps of a run, in a hash:
--   run     layout, until when the run lasts (ms, 15 digits), the latest attempt (16 digits; zeros
--           in a run whose attempts are counted for each step), how many steps it has
--   n0 …    the name of the first step that began, and so on
--   s NAME  layout, state, attempt (16 digits), number of attempts (6 digits), first began, began,
--           ended (ms, 15 digits each; 0: it runs), bytes of the output (6 digits), last error
--   o NAME  output
-- State: `r` running, `f` failed, `d` finished, `z` a sleep, which is over when it ended.
-- needs: call, now, layout, unreadable
local no_attempt = string.rep('0', 16)

-- Reads a step of a run: its run, and itself if it was begun and the run lasts. `failure` if it
-- cannot be read.
local function read_step(key, name)
  local stored, cut = redis.pcall('HMGET', key, 'run', 's' .. name, 'o' .. name), string.sub
  if stored.err then return {failure = stored.err} end
  local head, entry = stored[1], stored[2]
  local read = {key = key, name = name, count = 0, till = 0, latest = no_attempt}
  if not head then return read end
  local failure = unreadable(head)
  local till, steps = tonumber(cut(head, 2, 16)), tonumber(cut(head, 33))
  if not failure and not (till and steps) then failure = 'TWCORRUPT the entry is no run' end
  if failure then return {failure = failure} end
  if till <= now then
    read.is_expired = true
    return read
  end
  read.till, read.count, read.latest = till, steps, cut(head, 17, 32)
  if not entry then return read end
  failure = unreadable(entry)
  if not failure and not tonumber(cut(entry, 19, 75)) then
    failure = 'TWCORRUPT the entry is no step'
  end
  if failure then return {failure = failure} end
  read.entry, read.output = entry, stored[3] or ''
  read.state, read.attempt = cut(entry, 2, 2), cut(entry, 3, 18)
  read.attempts, read.first = tonumber(cut(entry, 19, 24)), tonumber(cut(entry, 25, 39))
  read.began, read.ended = tonumber(cut(entry, 40, 54)), tonumber(cut(entry, 55, 69))
  read.last_error = cut(entry, 76)
  return read
end

-- An entry of a step that `read_step` has read, by an attempt.
local function step_entry(read, letter, attempt, ended, length, reason)
  local times = string.format('%015d%015d%015d', read.first, read.began, ended)
  local head = layout .. letter .. attempt .. string.format('%06d', read.attempts)
  return head .. times .. string.format('%06d', length) .. reason
end

-- Writes a step that `read_step` has read, and its output unless that is nil. The run lasts at
-- least until `lasts` (ms), and may be collected `margin` (ms) later. One command writes it all.
local function write_step(read, latest, lasts, margin, entry, output)
  local key, name, steps = read.key, read.name, read.count
  local till = math.max(read.till, lasts)
  local fields = {'s' .. name, entry}
  if not read.entry then
    fields[3], fields[4] = 'n' .. string.format('%d', steps), name
    steps = steps + 1
  end
  if output then fields[#fields + 1], fields[#fields + 2] = 'o' .. name, output end
  local head = layout .. string.format('%015d', till) .. latest .. string.format('%d', steps)
  if read.is_expired then call('DEL', key) end
  call('HSET', key, 'run', head, unpack(fields))
  call('PEXPIRE', key, string.format('%d', till - now + margin))
end
