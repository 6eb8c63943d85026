-- queue/replay: makes dead jobs ready again, as if they had never been claimed.
-- KEYS    those of keys.lua
-- ARGV    1 clock, 2 shape, 3.. packed ids
-- Returns 'shape' and the recorded one, or 'replayed', then for each job 'replayed', 'held' or
--         'not_dead', and the holder of its unique key or ''
-- Retry   finds the result of the first run: 'not_dead' after 'replayed'
-- Cost    n jobs: up to 8 n commands, O(n log d + bytes) with d dead; 5 more per job with a unique key
-- needs: ENTRY, NO_FENCE, add, byte, call, count, dead, decimal, holder_of, jobs, meta, publish
-- needs: ready, repair, state, sub, unique, unique_of, wake
local shape, moving = unpack(call('HMGET', meta, 'shape', 'moving'))
if shape and shape ~= ARGV[2] then return { 'shape', shape } end
if moving then repair(moving) end
local reply, replayed = { 'replayed' }, 0

-- The unique key that the job is to hold again, its holder, its letter, and what it adds to the flags
-- of the state. A key that is held for a time is not taken again: its time began with the push.
local function key_of(id)
  local record = call('HGET', jobs, id)
  local kind = byte(record, 2) % 4
  if kind == 0 or kind == 3 then return nil end
  local key = unique_of(record)
  return key, holder_of(key), kind == 1 and 'c' or 'f', kind == 1 and '\16' or '\0'
end

for i = 3, #ARGV do
  local id, answer, holder = ARGV[i], 'not_dead', nil
  local s, bytes = call('HGET', state, id), call('HSTRLEN', jobs, id)
  if s and sub(s, 1, 1) == 'd' and bytes > 0 then
    local key, by, letter, flags = key_of(id)
    answer, holder = by and 'held' or 'replayed', by
    if not by then
      call('RPUSH', ready(byte(s, 20)), id)
      if key then call('HSET', unique, key, letter .. id) end
      -- The state exists; its deadline does not count again.
      local fresh = 'w' .. NO_FENCE .. '\0\0' .. sub(s, 20, 26) .. (flags or '\0') .. '\0\0\0'
      call('HSET', state, id, fresh)
      call('ZREM', dead, id)
      call('HINCRBY', meta, 'dead_bytes', decimal(-ENTRY - bytes - #s))
      replayed = replayed + 1
    end
  end
  add(reply, answer, holder or '')
end
count(replayed, 0, 0)
if replayed > 0 then wake() end
publish()
return reply
