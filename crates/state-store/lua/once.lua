-- Fast path of a call that is remembered: a repetition gets the reply to the first copy, and does
-- not change what others have written since. The last key of the script is the remembered call (a
-- string: the reply as MessagePack), its last argument how long it is remembered (ms).
-- needs: call, is_repeat

-- Remembers the reply, unless the argument is empty, and returns it.
local function remember(answer)
  if ARGV[#ARGV] ~= '' then
    call('SET', KEYS[#KEYS], cmsgpack.pack(answer), 'PX', ARGV[#ARGV])
  end
  return answer
end

local earlier = is_repeat and call('GET', KEYS[#KEYS])
-- Remembered again: a durable call waits for the last write of its connection.
if earlier then return remember(cmsgpack.unpack(earlier)) end
