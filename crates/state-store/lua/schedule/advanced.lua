-- Fast path of schedule/advance: sets the next time, and ends if no worker waits for the jobs.
-- needs: has_news, index_next, is_awaited
index_next()
if not (has_news and is_awaited) then return { 'advanced' } end
