-- Fast path of a cancellation: a ready job of a batch without delays.
-- needs: batch_of, count, lease_of, leave, repair, write_batches
if interrupted then repair(interrupted) end
local plain, plain_position
if ARGV[4] == 'cancel' then plain, plain_position = batch_of(ARGV[5]) end
if plain and plain.kind < 16 and not lease_of(plain, plain_position) then
  leave(plain, 2 ^ plain_position)
  write_batches()
  count('alive', -1)
  call('SET', KEYS[15], cmsgpack.pack({ 'changed', 'removed', '' }), 'PX', ARGV[3])
  return { 'changed', 'removed', '' }
end
