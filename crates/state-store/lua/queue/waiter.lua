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

-- Hands `n` leased jobs over: returns the message. As long as the waiter has room, it stays
-- registered (`h`, else `e`). `values`: the numbers of items and of states before (2 bytes each),
-- then ids and records, and numbers and states before, each behind its length (4 bytes).
local function hand(waiter, fence, n, values)
  local reserve, bytes = waiter.reserve - n, waiter.bytes - #values - 28
  local stays = reserve > 0 and bytes >= LEAST
  if stays then
    local head = pack('>I6I2I3', waiter.ends, reserve, bytes)
    call('HSET', waiters, waiter.token, head .. sub(waiter.text, 12))
  else
    call('HDEL', waiters, waiter.token)
  end
  local head = pack('>c1I6c16I6', stays and 'h' or 'e', now_up, fence, waiter.lasting)
  return message_to(waiter, head .. values)
end
