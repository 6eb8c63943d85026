-- Single jobs: their states. See docs/layout.md for the flags.
-- needs: STATE
local NO_FENCE = string.rep('0', 16)
-- Appended to ids that are keys of a table: callers could choose some that collide in Lua's hash.
local salt = decimal(micros)
-- What a finished job counts besides its record and state: its entries.
local ENTRY = 320

local function has_flag(s, flag) return math.floor(byte(s, 27) / flag) % 2 == 1 end

-- A state whose flags are higher by `more`.
local function add_flag(s, more) return sub(s, 1, 26) .. char(byte(s, 27) + more) .. sub(s, 28) end

local function with_flag(s, flag) return has_flag(s, flag) and s or add_flag(s, flag) end

local function attempts_of(s) return (unpack_bytes('>I2', s, 18)) end

-- The deliveries that were not heard, as flags.
local function unheard_of(s) return byte(s, 27) % 128 - byte(s, 27) % 32 end

local function last_error(s)
  return has_flag(s, 8) and select(7, unpack_bytes(STATE, s)) or nil
end

local function with_progress(s, more)
  return with_flag(sub(s, 1, select(8, unpack_bytes(STATE, s)) - 1), 4) .. more
end

-- A state without a worker, made from another one of the same job.
local function settled(s, status, attempts, reason, result)
  local flags = (has_flag(s, 2) and 2 or 0) + (result and 4 or 0) + (reason and 8 or 0)
  return pack(STATE, status, sub(s, 2, 17), attempts, sub(s, 20, 26), flags + unheard_of(s), 0, '',
    #(reason or ''), reason or '') .. (result or '')
end
