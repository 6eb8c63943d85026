-- Ending a step.
-- needs: now, now_up, no_attempt, read_step, step_entry, write_step
-- Ends the step `name` of the run at `key` by the attempt that has begun it: state `d` with its
-- output, or `f` with its error. 'recorded' | 'superseded'.
local function end_step(key, name, attempt, of_run, ttl, state, text, margin)
  local read = read_step(key, name)
  if read.failure then return {'failed', read.failure} end
  if read.attempt ~= attempt then return 'superseded' end
  local entry, output = read.entry, nil
  if read.state ~= state then
    if read.state ~= 'r' or (of_run and attempt < read.latest) then return 'superseded' end
    local last_error, length = read.last_error, 0
    if state == 'd' then output, length = text, #text else last_error = text end
    entry = step_entry(read, state, attempt, now, length, last_error)
  end
  -- A repetition writes the same again: a durable call waits for the last write of its connection.
  write_step(read, of_run and read.latest or no_attempt, now_up + ttl, margin, entry, output)
  return 'recorded'
end
