-- run/describe: runs without their payloads.
-- KEYS     hashes, the runs: see record.lua
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  layouts: see layout.lua
-- Returns  'each', then for each run: 'run', run | 'absent' | 'failed', error
-- Retry    reads
-- Cost     O(runs)
-- needs: now, unreadable
local reply = {'each'}
for index, key in ipairs(KEYS) do
  local head = redis.pcall('HGET', key, 'run')
  if type(head) == 'table' then
    reply[index + 1] = {'failed', head.err}
  elseif not head then
    reply[index + 1] = 'absent'
  elseif unreadable(head) then
    reply[index + 1] = {'failed', unreadable(head)}
  elseif not tonumber(string.sub(head, 65, 79)) then
    reply[index + 1] = {'failed', 'TWCORRUPT the entry is no run'}
  elseif tonumber(string.sub(head, 65, 79)) <= now then
    reply[index + 1] = 'absent'
  else
    reply[index + 1] = {'run', head}
  end
end
return reply
