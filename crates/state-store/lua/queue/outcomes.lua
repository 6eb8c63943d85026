-- How deliveries end.
-- needs: attempts_of, die, fail, finish, forget, last_error, put_back, settled

-- What becomes of a job, with a time in ms and a text.
local outcomes = {
  complete = function(job, lasting, result)
    if lasting == 0 then return forget(job) end
    local s = settled(job.s, 'c', attempts_of(job.s), last_error(job.s), result)
    finish(job, 'completed', now_up + lasting, s)
  end,
  retry = fail,
  snooze = put_back,
  release = function(job) put_back(job, -1) end,
  dead = function(job, _, reason) die(job, reason) end,
}
