-- queue/settle: ends deliveries.
-- KEYS    those of keys.lua, 15 call (string)
-- ARGV    1 clock, 2 shape, 3 ms for which the call is remembered, 4 bounds of what is kept, 5 for
--         each batch: id (17 bytes), fence (16 digits), positions (8 bytes), 6 for each single
--         job: fence (16 digits), length (2 bytes), packed id, 7.. for each job that is not just
--         complete: its number from 1, outcome, time in ms, result or reason, unique key or ''.
--         Numbers count the positions of the batches, then the single jobs
-- Returns 'shape' and the recorded one, or 'settled', then the numbers from 0 of those that were
--         lost, or 'unknown': an earlier copy may have settled some of those that are gone
-- Retry   remembered until the last copy's deadline
-- Cost    n jobs that are just complete: 8 commands and 1 per batch, O(n log r) with r running; up
--         to 15 more per other job, O(bytes of its batch)
-- needs: add_single, call, flush, interrupted, new_settlement, outcomes, publish, repair
-- needs: settle_batch, settle_found, settle_singles, sub, unpack_bytes
if interrupted then repair(interrupted) end
local unusual, from = {}, 1
for at = 7, #ARGV, 5 do unusual[tonumber(ARGV[at])] = at end
local settlement = new_settlement(unusual)
for at = 1, #ARGV[5], 41 do
  local batch_id, fence = sub(ARGV[5], at, at + 16), sub(ARGV[5], at + 17, at + 32)
  settle_batch(settlement, batch_id, fence, unpack_bytes('>I4I4', ARGV[5], at + 33))
end
while from < #ARGV[6] do
  local size = unpack_bytes('>I2', ARGV[6], from + 16)
  add_single(settlement, sub(ARGV[6], from + 18, from + 17 + size), sub(ARGV[6], from, from + 15))
  from = from + 18 + size
end
settle_singles(settlement)
-- In the order given: it is the order in which they come back.
for at = 7, #ARGV, 5 do
  local word, time, text, key = ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4]
  local is_removed = word == 'cancelled' or word == 'complete' and time == 0
  if settlement.found[at] then
    settle_found(settlement.found[at], function(id, s) outcomes[word](id, s, time, text, key) end, is_removed)
  end
end
flush(ARGV[4])
local reply = settlement.is_unknown and { 'unknown' } or settlement.refused
call('SET', KEYS[15], cmsgpack.pack(reply), 'PX', ARGV[3])
publish()
return reply
