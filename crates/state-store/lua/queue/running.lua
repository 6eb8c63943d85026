-- Fences, and states of jobs that run.

-- The format of a state: status, fence, attempts, a part of the record, flags, worker, last error;
-- progress or result follow.
local STATE = '>c1c16I2c7BBc0I2c0'

local function next_fence(last)
  return string.format('%016d', math.max(micros, (last or -1) + 1))
end

local function running(fence, attempts, fixed, flags, worker, reason)
  return pack(STATE, 'r', fence, attempts, fixed, flags + (reason and 8 or 0), #worker, worker,
    #(reason or ''), reason or '')
end
