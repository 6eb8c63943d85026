-- The writes of an operation, each as a function that first checks everything, then writes once,
-- and returns its answer. A repetition writes the same again: a durable call waits for the last
-- write of its connection.
-- needs: now, now_up, micros, read_operation, write_operation
-- Begins an attempt. `most`: how many the policy allows. `timed_out`: the error of an attempt that
-- did not end in time.
-- 'started', number, fence | 'succeeded' | 'wait', until ms, left ms | 'exhausted', attempts,
-- error | 'failed', error
local function begin_operation(key, request, most, lasting, ttl, timed_out, margin)
  local read = read_operation(key)
  if read.failure then return {'failed', read.failure} end
  local state = read.state
  if (state == 'r' or state == 'd') and read.request == request then
    write_operation(read, read.till, margin)
    if state == 'd' then return 'succeeded' end
    return {'started', read.attempts, tonumber(read.fence)}
  end
  if (state == 'r' or state == 'w') and read.next > now then
    return {'wait', read.next, read.next - now}
  end
  if state == 'r' then read.last_error = timed_out end
  if (state == 'r' or state == 'w') and read.attempts >= most then
    read.state, read.next = 'x', 0
    write_operation(read, now_up + ttl, margin)
  end
  if read.state == 'x' then return {'exhausted', read.attempts, read.last_error} end
  if not state or state == 'd' then
    read.attempts, read.first, read.last_error = 0, now, ''
  end
  read.fence = string.format('%016.0f', math.max(micros, tonumber(read.fence) + 1))
  read.state, read.request, read.began = 'r', request, now
  read.attempts, read.next = math.min(read.attempts + 1, 999999), now_up + lasting
  write_operation(read, read.next + ttl, margin)
  return {'started', read.attempts, tonumber(read.fence)}
end

-- Ends an attempt that has failed. `decision`: `r` retry, `x` fail, `s` snooze.
-- 'again', at ms | 'exhausted' | 'superseded' | 'failed', error
local function fail_operation(key, fence, decision, wait, most, ttl, text, margin)
  local read = read_operation(key)
  if read.failure then return {'failed', read.failure} end
  if not read.state or read.state == 'd' or read.fence ~= fence then return 'superseded' end
  if read.state == 'r' then
    read.state, read.next, read.last_error = 'w', now_up + wait, text
    if decision == 's' then read.attempts = read.attempts - 1 end
    if decision == 'x' or decision == 'r' and read.attempts >= most then
      read.state, read.next = 'x', 0
    end
  end
  write_operation(read, math.max(now_up, read.next) + ttl, margin)
  if read.state == 'x' then return 'exhausted' end
  return {'again', read.next}
end

-- Ends an attempt that has succeeded. 'recorded' | 'superseded' | 'failed', error
local function succeed_operation(key, fence, ttl, margin)
  local read = read_operation(key)
  if read.failure then return {'failed', read.failure} end
  if read.fence ~= fence or (read.state ~= 'r' and read.state ~= 'd') then return 'superseded' end
  read.state, read.next, read.last_error = 'd', 0, ''
  write_operation(read, now_up + ttl, margin)
  return 'recorded'
end
