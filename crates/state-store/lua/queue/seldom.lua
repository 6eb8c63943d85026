-- What a claim seldom has to do, with ended.lua between `local function seldom(task, subject)` and `end`: these functions cost
-- time to be made.

-- Up to 256 scheduled jobs whose time has come. Those on shelves are taken off first, a few more of each shelf than are due.
local function move_due()
  local last = decimal(now)
  local left = 256
  while summary do
    local entry, time = unpack(call('ZRANGE', shelves_due, 0, 0, 'WITHSCORES'))
    if tonumber(time) > now then break end
    if left <= 0 then
      last = time
      break
    end
    local of_this, before = math.min(left, 64), left
    take_off(entry, function(at)
      local is_wanted = of_this > 0 and at <= now + 1000
      if is_wanted then of_this, left = of_this - 1, left - 1 end
      return is_wanted
    end)
    if left == before then break end
  end
  local tails, members = { [0] = {}, {}, {}, {} }, call('ZRANGEBYSCORE', due, '-inf', last, 'LIMIT', 0, 256)
  for _, member in ipairs(members) do table.insert(tails[byte(member) - 48], sub(member, 2)) end
  for priority = 0, 3 do many('RPUSH', ready(priority), tails[priority]) end
  many('ZREM', due, members)
end

-- Kills those that nobody has claimed in time; `late`: their ids and records.
local function bury(late)
  for i = 1, #late, 2 do
    local id, record = late[i], late[i + 1]
    local flags = byte(record, 2) % 4 > 0 and '\2' or '\0'
    local s = 'w' .. NO_FENCE .. '\0\0' .. sub(record, 3, 9) .. flags .. '\0\0\0'
    die(id, s, NO_FENCE, 'deadline', unique_of(record) or '')
  end
  flush()
end

-- A script was cut that divided this ready parcel: what it had taken, or had given a record of its own, is not in it any more.
local function mend(ref)
  write_parcel(ref, still_in(ref))
  call('HDEL', parcel_leases, ref)
end

-- Makes lone jobs of a ready parcel, behind it in its list. `found`: the list, the reference, the parcel.
local function scatter(found)
  local key, ref = unpack(found)
  local ids, records = contents(ref, found[3])
  local own = {}
  call('HSET', parcel_leases, ref, DIVIDED)
  many('HDEL', state, ids)
  for i = #ids, 1, -1 do
    call('LINSERT', key, 'AFTER', ref, ids[i])
    own[2 * i - 1], own[2 * i] = ids[i], records[i]
  end
  many('HSET', jobs, own)
  move(ids)
  call('HDEL', parcels, ref)
  call('HDEL', parcel_leases, ref)
end

-- Forgets what is over while there is nothing else to do.
local function tidy()
  -- Where there are no parcels, no job is in one.
  if call('EXISTS', parcels) == 0 and call('EXISTS', parcel_of) == 1 then call('DEL', parcel_of) end
  collect_unique(32)
  trim_dead(0)
  trim_completed(0)
end

begin_moves()
local tasks = { due = move_due, ended = reap, late = bury, divided = mend, few = scatter, idle = tidy }
tasks[task](subject)
