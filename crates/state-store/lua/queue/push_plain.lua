-- Fast path of a push: the end, if it has no other jobs and no worker waits for these.
-- needs: behind, call, has_news, is_awaited, is_one, reply
if behind > #ARGV and not is_one and reply[1] == 'pushed' and not (has_news and is_awaited) then
  call('SET', KEYS[15], '\145\166pushed', 'PX', ARGV[3])
  return reply
end
