-- Beginning a step or a sleep.
-- needs: now, now_up, no_attempt, no_time, time_digits, read_step, step_entry, recorded_error
-- needs: write_step
-- The answer to an attempt (16 digits) that begins a step, or nil if it may write. `of_run`:
-- whether attempts are those of the run. `restart_of`: the attempt that it replaces, or ''.
local function refuse_step(read, attempt, of_run, restart_of, most)
  if not read.entry and read.steps >= most then
    return {'failed', 'TWINVALID the run has ' .. most .. ' steps, and may not have more'}
  end
  local latest = of_run and read.latest or read.attempt or no_attempt
  if attempt < latest and restart_of ~= read.attempt then
    return {'superseded', tonumber(latest)}
  end
  return nil
end

-- How long a sleep that was read lasts from now on.
local function sleeping(ended)
  return {'sleeping', ended, math.max(ended - now, 0)}
end

-- Notes that an attempt begins the step, unless it has begun it before.
local function count_attempt(read, attempt)
  if read.state == 'r' and read.attempt == attempt then return end
  local attempts = math.min((read.attempts or 0) + 1, 999999)
  read.attempts, read.began = string.format('%06d', attempts), time_digits(now)
  read.first = read.first or read.began
end

-- Begins the step `name` of the run at `key`: 'started', or why not.
local function begin_step(key, name, attempt, of_run, restart_of, ttl, most, margin)
  local read = read_step(key, name)
  if read.failure then return {'failed', read.failure} end
  if read.state == 'd' then return {'finished', read.output} end
  if read.state == 'z' then return sleeping(tonumber(read.ended)) end
  local refusal = refuse_step(read, attempt, of_run, restart_of, most)
  if refusal then return refusal end
  count_attempt(read, attempt)
  local entry = step_entry(read, 'r', attempt, no_time, 0, recorded_error(read))
  write_step(read, of_run and attempt or no_attempt, now_up + ttl, margin, entry)
  return 'started'
end

-- Begins a sleep of `lasting` (ms), or reads it.
local function begin_sleep(key, name, attempt, of_run, lasting, ttl, most, margin)
  local read = read_step(key, name)
  if read.failure then return {'failed', read.failure} end
  if read.state == 'z' then
    local ended = tonumber(read.ended)
    -- A repetition writes the same again: the first copy may have been interrupted, and a durable
    -- call waits for the last write of its connection.
    if read.attempt == attempt then
      write_step(read, of_run and read.latest or no_attempt, ended + ttl, margin, read.entry)
    end
    return sleeping(ended)
  end
  if read.entry then return {'failed', 'TWINVALID the step is not a sleep'} end
  local refusal = refuse_step(read, attempt, of_run, '', most)
  if refusal then return refusal end
  count_attempt(read, attempt)
  local ended = now_up + lasting
  local entry = step_entry(read, 'z', attempt, time_digits(ended), 0, '')
  write_step(read, of_run and attempt or no_attempt, ended + ttl, margin, entry)
  return sleeping(ended)
end
