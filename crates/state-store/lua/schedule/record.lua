-- A schedule, in the hash `jobs` under a byte 3 and its name:
--   layout 1 (byte), state (a active, p paused), version (16 digits), since (ms, 15 digits), the
--   identity of the last advance (16 bytes); its last firing: due and fired (ms, 15 digits each;
--   zeros: there was none), jobs (4 digits), missed (6 digits), packed id of the last job (17
--   bytes); then, from byte 107 on, times, options, payload
-- `schedules` has the next time of each that is active, or an earlier one.
local NO_FIRING = string.rep('0', 40) .. string.rep('\0', 17)

-- Why a stored value cannot be read, or nil.
local function no_schedule(value)
  if string.byte(value) ~= 1 or #value < 106 then
    return redis.error_reply('TWCORRUPT the stored value is no schedule that this version reads')
  end
end
