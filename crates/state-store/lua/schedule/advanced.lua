-- Fast path of schedule/advance: pushes the jobs, sets the next time, and ends if no worker waits.
-- needs: beside, index_next, push_batches
if not shape then return { 'shape', '' } end
local has_news = push_batches(beside)
index_next()
if not has_news or call('EXISTS', waiters) == 0 then return { 'advanced' } end
