-- Takes a lease that nobody holds.
-- KEYS[1]  string, the lease: fence (16 digits), until (ms, 15 digits), `h` held or `r` released, request (16 bytes), holder
-- ARGV[1]  now in ms; empty: the server's clock
-- ARGV[2]  request, 16 bytes
-- ARGV[3]  holder
-- ARGV[4]  how long it lasts, ms
-- ARGV[5]  that and how long its fence is remembered behind it, ms
-- Returns  'yes', fence, until ms | 'taken', fence, until ms, holder
-- Retry    recognised by its request while the lease lasts; then writes what is there, for WAIT to wait for
-- Cost     O(1)
local lease = call('GET', KEYS[1])
local fence = micros
if lease then
  local last, till = tonumber(string.sub(lease, 1, 16)), tonumber(string.sub(lease, 17, 31))
  if not (last and till) then return redis.error_reply('TWCORRUPT the entry is no lease') end
  if till > now and string.byte(lease, 32) == 104 then
    if string.sub(lease, 33, 48) ~= ARGV[2] then return {'taken', last, till, string.sub(lease, 49)} end
    call('SET', KEYS[1], lease, 'PX', ARGV[5])
    return {'yes', last, till}
  end
  if last >= fence then fence = last + 1 end
end
lease = string.format('%016d%015dh', fence, now + ARGV[4]) .. ARGV[2] .. ARGV[3]
call('SET', KEYS[1], lease, 'PX', ARGV[5])
return {'yes', fence, now + ARGV[4]}
