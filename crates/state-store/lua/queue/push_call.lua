-- Fast path of a push: a repetition of a push that is remembered.
-- needs: call, is_repeat
local answer = is_repeat and call('GET', KEYS[15])
if answer then
  -- Written again: a server waits for the durability of the last write of a connection.
  call('SET', KEYS[15], answer, 'PX', ARGV[3])
  return cmsgpack.unpack(answer)
end
-- What is stored together with the records of the jobs.
local beside = {}
