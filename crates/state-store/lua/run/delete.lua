-- run/delete: deletes runs with their events.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  the command that notifies watchers: see notify_watchers.lua
-- ARGV     from 4 on, for each run: when it was created (µs, 16 digits), or '' if it is damaged
-- Returns  'each', then for each run: 'deleted' | 'failed', error
-- Retry    leads to the same state; a run that was created later stays
-- Cost     O(runs)
-- needs: call, notify_watchers, read_run
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local head, failure = read_run(key)
  local created = ARGV[index + 3]
  -- What has a newer layout is not damaged.
  local is_damaged = created == '' and not string.find(failure or '', '^TWLAYOUT')
  if is_damaged or head and string.sub(head, 19, 34) == created then
    call('UNLINK', key)
    notify_watchers(ARGV[3], key)
    failure = nil
  end
  reply[index + 1] = failure and {'failed', failure} or 'deleted'
end
return reply
