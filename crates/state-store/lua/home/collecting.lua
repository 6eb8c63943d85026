-- Collects writes, so that nothing is written before everything is checked: after
-- `collect_writes`, `call` sends reads and keeps writes.
-- assigns: call

-- When the jobs of a commit are pushed.
local push_time = pack('>I6', now_up)

local send, collected = call, {}
local reads = { EXISTS = true, GET = true, GETRANGE = true, HEXISTS = true, HGET = true,
  HMGET = true, HSTRLEN = true, ZRANGE = true, ZRANGEBYSCORE = true, ZSCORE = true }

local function collect_writes()
  call = function(command, ...)
    if reads[command] then return send(command, ...) end
    collected[#collected + 1] = { command, ... }
  end
end

local function send_collected()
  call = send
  for _, words in ipairs(collected) do send(unpack(words)) end
end
