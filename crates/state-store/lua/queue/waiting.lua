-- The positions of a batch that are scheduled or ready.
-- needs: bit_of, byte, call, contains, due, due_in

-- The positions that wait for their due time: the entry in `due` has the first of these times.
local function scheduled_in(batch, blob)
  local low, high = 0, 0
  local first = batch.kind >= 16 and tonumber(call('ZSCORE', due, batch.kind % 4 .. batch.id))
  for position = 0, first and byte(blob) - 1 or -1 do
    if due_in(batch, blob, position) >= first and contains(batch.low, batch.high, position) then
      local of_low, of_high = bit_of(position)
      low, high = low + of_low, high + of_high
    end
  end
  return low, high
end

-- The positions that can be leased.
local function ready_in(batch, blob)
  local low, high = scheduled_in(batch, blob)
  low, high = batch.low - low, batch.high - high
  for _, lease in ipairs(batch.leases) do
    low, high = low - lease.low, high - lease.high
  end
  return low, high
end
