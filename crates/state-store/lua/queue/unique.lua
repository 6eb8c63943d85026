-- Who holds a unique key, and taking one. An entry: the letter c, f (until claimed, finished) or e and the end in ms (16
-- digits), then the id of the holder.
local accepted, taken, add_unique, add_elapsed, add_until = {}, {}, {}, {}, {}

-- Who holds a key. A holder that is gone or over does not: a server may have died before it gave the key back.
local function holder_of(key)
  local entry = taken[key] or call('HGET', unique, key)
  if not entry then return nil end
  if sub(entry, 1, 1) == 'e' then return tonumber(sub(entry, 2, 17)) > now and sub(entry, 18) or nil end
  local id = sub(entry, 2)
  if accepted[id] then return id end
  local s = call('HGET', state, id)
  local status, was_claimed = s and sub(s, 1, 1), s and byte(s, 27) < 16
  local is_over = status == 'd' or status == 'c' or was_claimed and sub(entry, 1, 1) == 'c'
    or call('HEXISTS', jobs, id) == 0 and not shelved(id)
  return not is_over and id or nil
end

-- `record`: the job's, which goes on at `at` behind the key; `kind`: 1 until claimed, 2 finished, 3 elapsed.
local function hold(key, id, kind, record, at)
  local entry, list = (kind == 1 and 'c' or 'f') .. id, add_unique
  if kind == 3 then
    local last = now_up + unpack_bytes('>I6', record, at)
    entry, list = 'e' .. string.format('%016.0f', last) .. id, add_elapsed
    add_until[#add_until + 1] = decimal(last)
    add_until[#add_until + 1] = key
  end
  taken[key] = entry
  list[#list + 1] = key
  list[#list + 1] = entry
end
