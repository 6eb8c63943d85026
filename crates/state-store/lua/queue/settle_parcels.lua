-- Settles jobs that are in parcels and held. `unusual[i]`: whether job i is more than just complete: it is taken out of its
-- parcel, to be settled as if it had been pushed alone. Returns the positions of those that are complete.
local function settle_parcels(unusual)
  local settled, done, refs, leases = {}, {}, held_parcels(ids)
  for i, ref in ipairs(refs) do
    if ref and not settled[ref] then
      local is_over = tonumber(call('ZSCORE', leased, ref) or 0) <= now
      settled[ref] = { lease = not is_over and leases[ref] or '', complete = {}, out = {}, is_any_out = false }
    end
    if ref and sub(settled[ref].lease, 1, 16) == sub(lease_of[i], 2, 17) then
      local parcel = settled[ref]
      if unusual[i] then
        parcel.out[ids[i]], parcel.is_any_out = true, true
      else
        table.insert(parcel.complete, ids[i])
        done[i] = true
      end
    end
  end
  for ref, parcel in pairs(settled) do
    if parcel.is_any_out then
      take_out(ref, function(id) return parcel.out[id] end, 0)
      parcel.lease = #parcel.complete > 0 and call('HGET', parcel_leases, ref)
    end
    if #parcel.complete > 0 then
      move(parcel.complete)
      if parcel.lease then leave(ref, parcel.lease, #parcel.complete) end
    end
  end
  return done
end
