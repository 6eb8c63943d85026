-- lease/acquire: acquires leases that nobody holds.
-- KEYS     strings, the leases: layout, fence (16 digits), until (ms, 15 digits), `h` held or `r`
--          released, request (16 bytes), sequence of the last renewal (16 digits), holder
-- ARGV[1]  deadline, and the time that a test has set
-- ARGV[2]  layouts: see layout.lua
-- ARGV     from 3 on, for each lease: request (16 bytes), holder, how long it lasts (ms), that plus
--          how long its fence is kept afterwards (ms)
-- Returns  'each', then for each lease: 'yes', fence, until ms | 'taken', fence, until ms, holder |
--          'failed', error
-- Retry    recognised by its request while the lease lasts; then writes the same again, so that
--          WAIT covers it. Refused once the lease was released
-- Cost     O(leases)
-- needs: call, now, now_up, micros, layout, unreadable
local format, sub, byte = string.format, string.sub, string.byte
local pcall, reply = redis.pcall, {'each'}
local unrenewed = string.rep('0', 16)
for index, key in ipairs(KEYS) do
  local at, lease, fence, answer = 4 * index - 1, pcall('GET', key), micros, nil
  if type(lease) == 'table' then
    answer = {'failed', lease.err}
  elseif lease then
    local last, till = tonumber(sub(lease, 2, 17)), tonumber(sub(lease, 18, 32))
    local failure = unreadable(lease) or not (last and till) and 'TWCORRUPT the entry is no lease'
    if failure then
      answer = {'failed', failure}
    elseif till > now and byte(lease, 33) == 104 then
      if sub(lease, 34, 49) == ARGV[at] then
        call('SET', key, lease, 'PX', ARGV[at + 3])
        answer = {'yes', last, till}
      else
        answer = {'taken', last, till, sub(lease, 66)}
      end
    elseif byte(lease, 33) == 114 and sub(lease, 34, 49) == ARGV[at] then
      answer = {
        'failed',
        'TWINVALID the lease that this request took has been released; make a new request',
      }
    elseif last >= fence then
      fence = last + 1
    end
  end
  if not answer then
    local till = now_up + ARGV[at + 2]
    lease = layout .. format('%016d%015dh', fence, till) .. ARGV[at] .. unrenewed .. ARGV[at + 1]
    call('SET', key, lease, 'PX', ARGV[at + 3])
    answer = {'yes', fence, till}
  end
  reply[index + 1] = answer
end
return reply
