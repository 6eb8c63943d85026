-- Fast path of a call that is remembered: a repetition gets the reply to its first copy.
local remembered = is_repeat and call('GET', KEYS[15])
if remembered then
  -- Written again: a server waits for the durability of the last write of a connection.
  call('SET', KEYS[15], remembered, 'PX', ARGV[3])
  return cmsgpack.unpack(remembered)
end
