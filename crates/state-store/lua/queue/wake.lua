-- Notifies waiting workers.
-- needs: call, now, sub, unpack_bytes, waiters
local messages = {}

-- A registered waiter that still listens; nil if there is none.
local function next_waiter()
  for _ = 1, 16 do
    local found = call('HRANDFIELD', waiters, 1, 'WITHVALUES')
    if not found[1] then return nil end
    local ends, reserve, bytes, lasting, size = unpack_bytes('>I6I2I3I6B', found[2])
    local own, tag = string.match(sub(found[2], 19, 18 + size), '([^{]*)(.*)')
    local kind = tag ~= '' and { 'SHARDNUMSUB', 'SPUBLISH' } or { 'NUMSUB', 'PUBLISH' }
    local counted = ends > now and redis.pcall('PUBSUB', kind[1], own .. tag)
    if counted and (counted.err or counted[2] > 0) then
      return { token = found[1], ends = ends, reserve = reserve, bytes = bytes, lasting = lasting,
        publish = kind[2], channel = own .. tag, worker = sub(found[2], 19 + size) }
    end
    call('HDEL', waiters, found[1])
    -- A sharded channel's slot has just moved here: all nodes know the process's own channel.
    if tag ~= '' and counted then messages[#messages + 1] = { 'PUBLISH', own, found[1] .. 'w' } end
  end
end

-- Ends the registration of a waiter with a message, which `publish` sends.
local function notify(waiter, message)
  call('HDEL', waiters, waiter.token)
  messages[#messages + 1] = { waiter.publish, waiter.channel, waiter.token .. message }
end

-- Notifies one waiter.
local function wake()
  local waiter = next_waiter()
  if waiter then notify(waiter, 'w') end
end

-- The last write of a script. Without the right to publish, workers claim after 10 s.
local function publish()
  for _, message in ipairs(messages) do redis.pcall(unpack(message)) end
end
