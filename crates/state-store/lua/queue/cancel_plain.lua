-- Fast path of a cancellation: a ready job of a batch without delays.
-- needs: bit_of, call, contains, count, lease_of, leave, meta, place_of, read_batch
-- needs: write_batches
local shape, interrupted = unpack(call('HMGET', meta, 'shape', 'moving'))
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
local plain_id, plain_position = place_of(ARGV[3])
local plain = plain_id and not interrupted and read_batch(plain_id)
if plain and plain.kind < 16 and contains(plain.low, plain.high, plain_position)
  and not lease_of(plain, plain_position) then
  leave(plain, bit_of(plain_position))
  write_batches()
  count(-1, 0, 0)
  return { 'removed' }
end
