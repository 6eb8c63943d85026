-- queue/push: adds jobs to a queue.
-- KEYS    those of keys.lua, 15 call (string)
-- ARGV    1 clock, 2 shape, 3 ms for which the call is remembered, 4 g, 5.. g times: kind, number
--         of jobs, delay of the first in ms (6 bytes), positions (8 bytes); id; records; then for
--         each other job: packed id, record, delay in ms or ''
-- Returns 'shape' and the recorded one or '', or 'pushed' ('taken': the id of a batch is that of
--         another one, and its jobs were not added), then for each other job that was not accepted
--         its number from 0, 'duplicate' or 'held', '' or the holder
-- Retry   remembered until the last copy's deadline; and by id and request as long as a job is
--         retained
-- Cost    8 commands and 1 per batch, or 2 if it is delayed, O(bytes + log s) with s scheduled; for
--         other jobs 12 commands and 2 per 50, up to 5 more per job with a unique key; to hand jobs
--         over 1 and 4 per waiter, at most 64 waiters without a listener, and those of a claim
-- needs: answer, behind, fence_before, hand_over, has_news, is_stored, publish, push_batches
-- needs: push_singles, repair
local is_news, reply = has_news, { answer }
if interrupted then repair(interrupted) end
if not is_stored then is_news, reply[1] = push_batches({}) end
if behind <= #ARGV then is_news = push_singles(behind, reply) or is_news end
if is_news then hand_over(fence_before) end
call('SET', KEYS[15], cmsgpack.pack(reply), 'PX', ARGV[3])
publish()
return reply
