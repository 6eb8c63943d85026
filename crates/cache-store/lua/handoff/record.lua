-- Items, and what is kept of those that a later put has replaced: their put can be repeated until
-- their end, and their take for a while. It is behind the key of the item, in braces:
--   `p` and the put, 32 hexadecimal digits    string: layout, end (ms, 15 digits)
--   `t` and the claim, the same               string: layout, end (ms, 15 digits), value
-- An item ends with its value; before it, `kept`: until when there may be such keys. The item is
-- not collected before that, so a key without an item has none of them.
-- needs: call, now, now_up, decimal, layout, unreadable
local format, sub, byte, pcall = string.format, string.sub, string.byte, redis.pcall

-- The end of the item with this head and its `kept`, in ms; or nil and an error.
local function times_of(head)
  local till, kept = tonumber(sub(head, 35, 49)), tonumber(sub(head, 50, 64))
  local failure = unreadable(head) or not (till and kept)
    and 'TWCORRUPT the item is none of a hand-off'
  if failure then return nil, failure end
  return till, kept
end

local function past_key(key, kind, id)
  local digits = string.gsub(id, '.', function(one) return format('%02x', byte(one)) end)
  return key .. '{' .. kind .. digits .. '}'
end

-- What is kept of an item that was replaced: nothing or its value. Nil if there is none, then an
-- error or nil.
local function past_item(key, kind, id)
  local found = pcall('GET', past_key(key, kind, id))
  if type(found) == 'table' then return nil, found.err end
  if not found then return nil end
  if unreadable(found) then return nil, unreadable(found) end
  if (tonumber(sub(found, 2, 16)) or 0) <= now then return nil end
  return sub(found, 17)
end

-- Keeps an item that was taken and will be replaced: its put until its end, its value for at most
-- `taking` (ms). `margin`: how much later than their ends they may be collected (ms).
local function keep_item(key, head, till, taking, margin)
  local function keep(kind, id, ends, value)
    local past = layout .. format('%015d', ends) .. value
    call('SET', past_key(key, kind, id), past, 'PX', decimal(ends - now_up + margin))
  end
  keep('p', sub(head, 3, 18), till, '')
  local value = call('GETRANGE', key, '64', '-1')
  keep('t', sub(head, 19, 34), math.min(till, now_up + taking), value)
end
