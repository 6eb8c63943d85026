-- home/commit: ends a delivery, and writes other data of the same home, or nothing of it.
-- KEYS    those of keys.lua, 15 call (string), 16.. of the parts, in their order: the steps of a
--         run (hash), a run (hash), a token (string); jobs, state, ready2 and meta of the outbox
-- ARGV    1 clock, 2 shape, 3 ms for which the call is remembered, 4 bounds of what is kept,
--         5 fence (16 digits) and packed id of the job, 6 its outcome, 7 time in ms, 8 result or
--         reason, 9 the parts, a letter each: see parts.lua, 10 number of the first job, 11.. the
--         parts, then for each job: packed id, record, delay in ms or ''
-- Returns 'shape' and the recorded one | 'committed' or 'refused', 'done' or 'lost', a list as
--         push.lua has it for each job that was not accepted, the answer of each part | 'unknown':
--         the job is settled, and an earlier copy may have done it
-- Retry   remembered until the last copy's deadline. A copy that is interrupted leaves the job
--         leased; the next one recognises the parts that it finds: jobs by id and request, steps by
--         attempt, runs and tokens by request, entries of the outbox by id
-- Cost    a single job that is just complete: 10 commands, 3 to push jobs, 3 for the step, 3 for
--         the run, 2 for the token, 2 per unique key, O(bytes); otherwise also those of a push and
--         of a settlement, and 6 for the entries of the outbox
-- needs: attempts_of, collect_writes, extract, flush, forget, has_flag, held, move_count, outcomes
-- needs: parts, publish, push_singles, repair, send_collected, take_out, wake
local earlier = call('GET', KEYS[15])
local remembered = earlier and cmsgpack.unpack(earlier)
if remembered and remembered[1] == ARGV[5] then
  -- Written again: a server waits for the durability of the last write of a connection.
  call('SET', KEYS[15], earlier, 'PX', ARGV[3])
  return remembered[2]
end
local fence, id, outcome, time = sub(ARGV[5], 1, 16), sub(ARGV[5], 17), ARGV[6], tonumber(ARGV[7])
if interrupted then repair(interrupted) end
local job, ends = held(id, fence)
if not ends and is_repeat and job.place ~= 'running'
  and (not job.s or sub(job.s, 2, 17) == fence) then
  return { 'unknown' }
end

collect_writes()
local refused_jobs, has_news, first = {}, false, tonumber(ARGV[10])
-- A job that is completed, dead or cancelled releases its key.
local releases = ends and (outcome == 'complete' or outcome == 'dead' or has_flag(job.s, 1)
  or (outcome == 'retry' and attempts_of(job.s) >= unpack_bytes('>I2', job.s, 21)))
local own = ends and id or nil
if ARGV[first] then
  has_news = push_singles(first, refused_jobs, own, releases and id or nil)
end
local reply = { 'committed', ends and 'done' or 'lost', refused_jobs }
local is_refused, at = not ends or refused_jobs[1] ~= nil, 11
for number = 1, #ARGV[9] do
  local answer, is_accepted, behind = parts[sub(ARGV[9], number, number)](KEYS[15 + number], at)
  if answer[1] == 'failed' then return redis.error_reply(answer[2]) end
  reply[3 + number], at, is_refused = answer, behind, is_refused or not is_accepted
end
if is_refused then
  reply[1] = 'refused'
  return reply
end
send_collected()

-- Last, and its removal of the record first: until then the job is delivered again.
if outcome == 'complete' and time == 0 then
  take_out(job)
  if job.batch then move_count('alive', -1) else forget(job) end
else
  extract(job)
  outcomes[outcome](job, time, ARGV[8])
end
if flush(ARGV[4]) or has_news then wake() end
call('SET', KEYS[15], cmsgpack.pack({ ARGV[5], reply }), 'PX', ARGV[3])
publish()
return reply
