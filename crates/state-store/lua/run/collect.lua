-- run/collect: reads runs without their payloads, and removes those that have expired.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- Returns  'each', then for each run: 'run', run | 'expired', the run that was removed | 'absent' |
--          'damaged', what was found | 'failed', error
-- Retry    leads to the same state
-- Cost     O(runs)
-- needs: call, now_digits, read_run
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local head, failure, found = read_run(key)
  local reason = failure or ''
  if string.find(reason, '^TWCORRUPT') or string.find(reason, 'WRONGTYPE') then
    reply[index + 1] = {'damaged', found}
  elseif failure then
    reply[index + 1] = {'failed', failure}
  elseif not head then
    reply[index + 1] = 'absent'
  elseif string.sub(head, 65, 79) > now_digits then
    reply[index + 1] = {'run', head}
  else
    -- An interrupted creation leaves a hash without a TTL.
    call('UNLINK', key)
    reply[index + 1] = {'expired', head}
  end
end
return reply
