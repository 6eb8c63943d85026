-- run/delete: deletes runs with their events.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV[3]  the command that notifies watchers: see notify_watchers.lua
-- ARGV     from 4 on, for each run: when it was created (µs, 16 digits), or '' if it is damaged;
--          then what was found: see collect.lua
-- Returns  'each', then for each run: 'deleted' | 'failed', error
-- Retry    leads to the same state; a run that was created later stays, also if the earlier one
--          was damaged
-- Cost     O(runs)
-- needs: call, notify_watchers, read_run
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local head, failure, found = read_run(key)
  local created, damaged = ARGV[2 * index + 2], ARGV[2 * index + 3]
  local is_same
  if created == '' then
    -- A caller may find more damage than this script.
    is_same = (head or found) == damaged
  else
    is_same = head and string.sub(head, 19, 34) == created
  end
  if is_same then
    call('UNLINK', key)
    notify_watchers(ARGV[3], key)
    failure = nil
  end
  reply[index + 1] = failure and {'failed', failure} or 'deleted'
end
return reply
