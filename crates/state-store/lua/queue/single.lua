-- Single jobs: their records and states.
-- needs: byte, char, decimal, micros, pack, sub, unpack_bytes
local NO_FENCE = string.rep('0', 16)
-- Appended to ids that are keys of a table: callers could choose some that collide in Lua's hash.
local salt = decimal(micros)

-- Whether a state has a flag. 1: cancellation requested, 2: unique until finished, 4: progress or
-- result, 8: last error, 16: holds its key until claimed, 128: heard. 32 and 64 count deliveries
-- that were not heard.
local function has_flag(s, flag) return math.floor(byte(s, 27) / flag) % 2 == 1 end

-- A state whose flags are higher by `more`.
local function add_flag(s, more) return sub(s, 1, 26) .. char(byte(s, 27) + more) .. sub(s, 28) end

local function with_flag(s, flag) return has_flag(s, flag) and s or add_flag(s, flag) end

local function attempts_of(s) return (unpack_bytes('>I2', s, 18)) end

local function unheard_of(s) return byte(s, 27) % 128 - byte(s, 27) % 32 end

-- Where a state ends, without progress or result.
local function end_of(s)
  local at = 29 + byte(s, 28)
  return at + 1 + unpack_bytes('>I2', s, at)
end

local function last_error(s)
  return has_flag(s, 8) and sub(s, 31 + byte(s, 28), end_of(s)) or nil
end

local function with_progress(s, more) return with_flag(sub(s, 1, end_of(s)), 4) .. more end

-- A state without a worker, made from another one of the same job.
local function settled(s, status, attempts, reason, result)
  local flags = (has_flag(s, 2) and 2 or 0) + (result and 4 or 0) + (reason and 8 or 0)
  reason = reason or ''
  return status .. sub(s, 2, 17) .. pack('>I2', attempts) .. sub(s, 20, 26)
    .. pack('>BBI2', flags + unheard_of(s), 0, #reason) .. reason .. (result or '')
end
