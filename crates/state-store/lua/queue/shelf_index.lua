-- Changes the index of the shelves.

-- Where an entry stands among those of a field, or nil.
local function place_in(entries, entry)
  local at = string.find(entries, entry, 1, true)
  while at and at % 8 ~= 1 do at = string.find(entries, entry, at + 1, true) end
  return at
end

local function enter(entries, entry) return entries .. entry end

local function enter_once(entries, entry) return place_in(entries, entry) and entries or entries .. entry end

local function leave_out(entries, entry)
  local at = place_in(entries, entry)
  return at and sub(entries, 1, at - 1) .. sub(entries, at + 8) or entries
end

-- Changes the index for jobs: their ids, when they are due, and the members that begin with their priorities.
local function index(jobs_of, change)
  if #jobs_of.ids == 0 then return end
  local fields, marks, changed, set, gone = {}, {}, {}, {}, {}
  for i, id in ipairs(jobs_of.ids) do
    local field, mark = spot_of(id)
    fields[i], marks[i] = field, mark .. pack('>I6', jobs_of.times[i] * 4 + byte(jobs_of.members[i]) - 48)
  end
  local stored = call('HMGET', shelves, unpack(fields))
  for i, field in ipairs(fields) do changed[field] = change(changed[field] or stored[i] or '', marks[i]) end
  for field, entries in pairs(changed) do
    if entries == '' then
      gone[#gone + 1] = field
    else
      set[#set + 1], set[#set + 2] = field, entries
    end
  end
  many('HSET', shelves, set)
  many('HDEL', shelves, gone)
end
