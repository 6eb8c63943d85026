-- Fast path of a push: the end, if it has no other jobs and no worker waits for these.
-- needs: behind, push_batches
if not shape then return { 'shape', '' } end
local waiter_token = call('HRANDFIELD', waiters)
local registration = waiter_token and call('HGET', waiters, waiter_token)
local is_one = waiter_token and behind == 8 and not ARGV[8]
  and not (is_repeat or interrupted or paused)
local has_news, answer = true, 'pushed'
if not is_one then has_news, answer = push_batches({}) end
if behind > #ARGV and answer == 'pushed' and not (has_news and waiter_token) then
  call('SET', KEYS[15], '\145\166pushed', 'PX', ARGV[3])
  return answer
end
