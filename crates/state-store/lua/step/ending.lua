-- Ending a step.
-- needs: now, now_up, no_attempt, time_digits, read_step, step_entry
-- needs: recorded_error, write_step
-- Ends the step `name` of the run at `key` by the attempt that has begun it: `ending` is `d` with
-- its output, or `f` with its error. 'recorded' | 'superseded'.
local function end_step(key, name, attempt, of_run, ttl, ending, text, margin)
  local read = read_step(key, name)
  if read.failure then return {'failed', read.failure} end
  if read.attempt ~= attempt then return 'superseded' end
  local entry, output = read.entry, nil
  if read.state ~= ending then
    if read.state ~= 'r' or (of_run and attempt < read.latest) then return 'superseded' end
    local reason, length = recorded_error(read), 0
    if ending == 'd' then output, length = text, #text else reason = text end
    entry = step_entry(read, ending, attempt, time_digits(now), length, reason)
  end
  -- A repetition writes the same again: a durable call waits for the last write of its connection.
  write_step(read, of_run and read.latest or no_attempt, now_up + ttl, margin, entry, output)
  return 'recorded'
end
