-- Registrations of waiting workers, and messages to them.

-- A waiter is handed no more jobs if fewer bytes are left of its registration.
local LEAST = 4096

local function read_waiter(token, text)
  local ends, reserve, bytes, lasting, channel, at = unpack_bytes('>I6I2I3I6Bc0', text)
  return { token = token, text = text, ends = ends, reserve = reserve, bytes = bytes,
    lasting = lasting, channel = channel, worker = sub(text, at) }
end

-- The command that sends a message.
local function message_to(waiter, content)
  local is_sharded = string.find(waiter.channel, '{', 1, true)
  return { is_sharded and 'SPUBLISH' or 'PUBLISH', waiter.channel, waiter.token .. content }
end

-- Hands leased jobs over: returns the message. As long as the waiter has room, it stays registered
-- (`h`, else `e`). `items`: ids and records. `past`: numbers and states before.
local function hand(waiter, fence, n, items, past)
  local numbers = pack('>I6I2I2', waiter.lasting, #items / 2, #past / 2)
  local parts = { pack('>I6', now_up), fence, numbers }
  for _, list in ipairs({ items, past }) do
    for _, value in ipairs(list) do
      value = tostring(value)
      add(parts, pack('>I4', #value), value)
    end
  end
  local content = table.concat(parts)
  local reserve, bytes = waiter.reserve - n, waiter.bytes - #content
  if reserve == 0 or bytes < LEAST then
    call('HDEL', waiters, waiter.token)
    return message_to(waiter, 'e' .. content)
  end
  local head = pack('>I6I2I3', waiter.ends, reserve, bytes)
  call('HSET', waiters, waiter.token, head .. sub(waiter.text, 12))
  return message_to(waiter, 'h' .. content)
end
