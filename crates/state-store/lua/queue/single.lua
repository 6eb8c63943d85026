-- Single jobs: their records and states.
-- needs: byte, call, char, due, pack, sub, unpack_bytes
local NO_FENCE = string.rep('0', 16)

-- Whether a state has a flag. 1: cancellation requested, 2: unique until finished, 4: progress or
-- result, 8: last error, 16: holds its key until claimed, 128: heard. 32 and 64 count deliveries that
-- were not heard.
local function has_flag(s, flag) return math.floor(byte(s, 27) / flag) % 2 == 1 end

local function attempts_of(s) return (unpack_bytes('>I2', s, 18)) end

local function last_error(s)
  if not has_flag(s, 8) then return nil end
  local at = 29 + byte(s, 28)
  return sub(s, at + 2, at + 1 + unpack_bytes('>I2', s, at))
end

local function unheard_of(s) return byte(s, 27) % 128 - byte(s, 27) % 32 end

-- A state with a worker: the job runs.
local function running(fence, attempts, fixed, flags, worker, reason)
  return 'r' .. fence .. pack('>I2', attempts) .. fixed
    .. pack('BB', flags + (reason and 8 or 0), #worker) .. worker .. pack('>I2', #(reason or ''))
    .. (reason or '')
end

-- A state without a worker, made from another one of the same job.
local function settled(s, status, fence, attempts, reason, result)
  local flags = (has_flag(s, 2) and 2 or 0) + (result and 4 or 0) + (reason and 8 or 0) + unheard_of(s)
  reason = reason or ''
  return status .. fence .. pack('>I2', attempts) .. sub(s, 20, 26)
    .. pack('>BBI2', flags, 0, #reason) .. reason .. (result or '')
end

-- Whether a job waits for its time. Only one that was delayed, or that has waited before, can.
local function is_due(id, record, s)
  return (s or byte(record, 2) % 16 >= 8) and call('ZSCORE', due, byte(record, 3) .. id)
end

-- The state of a job that runs, after its worker was heard of.
local function heard(s)
  if has_flag(s, 128) then return s end
  return sub(s, 1, 26) .. char(byte(s, 27) + 128) .. sub(s, 28)
end

local function with_progress(s, progress)
  local flags, at = byte(s, 27), 29 + byte(s, 28)
  if not has_flag(s, 4) then flags = flags + 4 end
  return heard(sub(s, 1, 26) .. char(flags) .. sub(s, 28, at + 1 + unpack_bytes('>I2', s, at)) .. progress)
end

local function with_cancel(s)
  if has_flag(s, 1) then return s end
  return sub(s, 1, 26) .. char(byte(s, 27) + 1) .. sub(s, 28)
end
