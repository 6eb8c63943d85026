-- Notifies waiting workers.
-- needs: message_to, read_waiter
local messages = {}

-- A registered waiter that still listens; nil if there is none, or if it may not be notified.
local function next_waiter()
  for _ = 1, 64 do
    local token, text = unpack(call('HRANDFIELD', waiters, 1, 'WITHVALUES'))
    if not token then return nil end
    local waiter = read_waiter(token, text)
    local own, tag = string.match(waiter.channel, '([^{]*)(.*)')
    local kind = tag ~= '' and { 'SHARDNUMSUB', 'SPUBLISH' } or { 'NUMSUB', 'PUBLISH' }
    -- Without the right to publish, workers claim after 10 s. Kvrocks has neither users nor this.
    local is_known, is_allowed = pcall(redis.acl_check_cmd, kind[2], waiter.channel, '')
    if is_known and not is_allowed then return nil end
    local counted = waiter.ends > now and redis.pcall('PUBSUB', kind[1], waiter.channel)
    if counted and (counted.err or counted[2] > 0) then return waiter end
    call('HDEL', waiters, token)
    -- A sharded channel whose slot has just moved here. All nodes forward the process's channel.
    if tag ~= '' and counted then messages[#messages + 1] = { 'PUBLISH', own, token .. 'w' } end
  end
end

-- Ends the registration of a waiter with a notification.
local function notify(waiter)
  call('HDEL', waiters, waiter.token)
  messages[#messages + 1] = message_to(waiter, 'w')
end

-- Notifies one waiter.
local function wake()
  local waiter = next_waiter()
  if waiter then notify(waiter) end
end

-- The last writes of a script.
local function publish() for _, message in ipairs(messages) do redis.pcall(unpack(message)) end end
