-- States of jobs that run.
-- needs: pack

local function running(fence, attempts, fixed, flags, worker, reason)
  return 'r' .. fence .. pack('>I2', attempts) .. fixed
    .. pack('BB', flags + (reason and 8 or 0), #worker) .. worker .. pack('>I2', #(reason or ''))
    .. (reason or '')
end
