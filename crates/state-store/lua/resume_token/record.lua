-- The record of a stream, a string: layout, kind (`t` a token, `n` none), the highest fence, the
-- version of the last token, when it was saved (ms, 15 digits), when it expires (ms, 15 digits,
-- zeros: never), the size of the token (5 digits), the request of the last save (16 bytes), the
-- token. Fences and versions have 16 digits and are compared as text.
-- needs: call, now, unreadable

-- The head of a record, or nil and the error of one that is not readable.
local function token_head(key)
  local head = redis.pcall('GETRANGE', key, '0', '84')
  if type(head) == 'table' then return nil, head.err end
  if head == '' then return nil end
  local failure = unreadable(head)
  if not failure and (#head ~= 85 or not tonumber(string.sub(head, 50, 69))) then
    failure = 'TWCORRUPT the entry is no resume token'
  end
  return head, failure
end

local function has_token(head) return head ~= nil and string.byte(head, 2) == 116 end
local function fence_in(head) return string.sub(head, 3, 18) end
local function version_in(head) return string.sub(head, 19, 34) end

-- An answer that shows a token: the word, fence, version, saved ms, until ms (0: never), now, size,
-- and the token if it is given. If there is none: the word alone.
local function shown(word, head, token)
  if not has_token(head) then return {word} end
  local cut = string.sub
  local saved, till, size = cut(head, 35, 49), cut(head, 50, 64), cut(head, 65, 69)
  return {word, fence_in(head), version_in(head), saved, till, now, size, token}
end

local function token_in(key, head)
  return has_token(head) and call('GETRANGE', key, '85', '-1') or nil
end
