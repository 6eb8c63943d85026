-- Notifies waiting workers.
-- needs: call, now, sub, unpack_bytes, waiters
local messages = {}

-- A registered waiter that still listens; nil if there is none.
local function next_waiter()
  for _ = 1, 16 do
    local found = call('HRANDFIELD', waiters, 1, 'WITHVALUES')
    if not found[1] then return nil end
    local ends, reserve, bytes, lasting, size = unpack_bytes('>I6I2I3I6B', found[2])
    local channel = sub(found[2], 19, 18 + size)
    local listeners = ends > now and redis.pcall('PUBSUB', 'NUMSUB', channel)
    if listeners and (listeners.err or listeners[2] > 0) then
      return { token = found[1], ends = ends, reserve = reserve, bytes = bytes, lasting = lasting,
        channel = channel, worker = sub(found[2], 19 + size) }
    end
    call('HDEL', waiters, found[1])
  end
end

-- Ends the registration of a waiter with a message, which `publish` sends.
local function notify(waiter, message)
  call('HDEL', waiters, waiter.token)
  messages[#messages + 1] = { waiter.channel, waiter.token .. message }
end

-- Notifies one waiter.
local function wake()
  local waiter = next_waiter()
  if waiter then notify(waiter, 'w') end
end

-- The last write of a script. Without the right to publish, workers claim after 10 s.
local function publish()
  for _, message in ipairs(messages) do redis.pcall('PUBLISH', message[1], message[2]) end
end
