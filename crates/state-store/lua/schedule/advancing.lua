-- Fast path of schedule/advance: compares the schedule with what the caller has read.
-- needs: no_schedule
local name, expected, till, due_at, counts, request, last_id, next_at
  = unpack(ARGV, 5 + 3 * ARGV[4], 12 + 3 * ARGV[4])
local schedule = call('HGET', jobs, '\3' .. name)
if not schedule then return { 'superseded' } end
if no_schedule(schedule) then return no_schedule(schedule) end

-- Sets the next time of the schedule.
local function index_next()
  if next_at == '' then
    call('ZREM', KEYS[15], name)
  else
    call('ZADD', KEYS[15], next_at, name)
  end
end

if sub(schedule, 34, 49) == request then
  -- A repetition. Written again: a server waits for the last write of a connection.
  call('HSET', jobs, '\3' .. name, schedule)
  if sub(schedule, 2, 33) == 'a' .. sub(expected, 1, 16) .. till then
    index_next()
  end
  return { 'advanced' }
end
if sub(schedule, 2, 33) ~= 'a' .. expected then return { 'superseded' } end
if till ~= sub(expected, 17) and tonumber(till) > now then return { 'early' } end
local firing = sub(schedule, 50, 106)
if due_at ~= '' then firing = due_at .. string.format('%015.0f', now) .. counts .. last_id end
-- One command stores the jobs and the schedule: there is no firing without its jobs, and no job
-- without its firing.
local beside = { '\3' .. name, '\1a' .. sub(expected, 1, 16) .. till .. request .. firing
  .. sub(schedule, 107) }
