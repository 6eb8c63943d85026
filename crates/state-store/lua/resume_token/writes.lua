-- The writes of a record, each as a function that first checks everything, then writes once, and
-- returns its answer. `kept`: how long a record without a lasting token is kept (ms).
-- needs: call, now, now_up, micros, layout, token_head, has_token, fence_in, version_in, shown
-- needs: token_in
local saved_now, next_version = string.format('%015d', now), string.format('%016d', micros)

-- Writes what is there, so that WAIT covers it.
local function write_again(key, head)
  call('SETRANGE', key, '0', string.sub(head, 1, 1))
end

-- Why a token cannot be saved, or that it was saved before: an answer, or nil.
local function refuse_token(key, head, fence, expected, request, token)
  local exists, last = has_token(head), fence_in(head)
  if string.sub(head, 70, 85) == request then
    if not exists then return {'conflict'} end
    write_again(key, head)
    return shown('saved', head)
  end
  if fence < last then return {'superseded', tonumber(last)} end
  if expected == (exists and version_in(head) or '') then return nil end
  local stored = token_in(key, head)
  if stored ~= token or fence ~= last then return shown('conflict', head, stored) end
  write_again(key, head)
  return shown('saved', head)
end

-- Replaces the token of version `expected` (empty: none). `ttl`: ms, 0: none.
-- 'saved', see shown | 'conflict', see shown, token | 'superseded', fence | 'failed', error
local function save_token(key, fence, expected, request, ttl, kept, token)
  local head, failure = token_head(key)
  if failure then return {'failed', failure} end
  local version, till = next_version, ttl > 0 and now_up + ttl or 0
  if head then
    local refusal = refuse_token(key, head, fence, expected, request, token)
    if refusal then return refusal end
    local last = version_in(head)
    if version <= last then version = string.format('%016d', last + 1) end
  elseif expected ~= '' then
    return {'conflict'}
  end
  local numbers = string.format('%015d%05d', till, #token)
  local value = layout .. 't' .. fence .. version .. saved_now .. numbers .. request .. token
  if ttl > 0 then call('SET', key, value, 'PX', ttl + kept) else call('SET', key, value) end
  return {'saved', tonumber(fence), tonumber(version), now, till, now, #token}
end
-- Records a fence. 'token', see shown, token | 'token' | 'superseded', fence | 'failed', error
local function take_over_token(key, fence, kept)
  local head, failure = token_head(key)
  if failure then return {'failed', failure} end
  if head and fence < fence_in(head) then return {'superseded', tonumber(fence_in(head))} end
  if has_token(head) then
    if fence ~= fence_in(head) then call('SETRANGE', key, '2', fence) end
    head = string.sub(head, 1, 2) .. fence .. string.sub(head, 19)
  else
    local rest = head and string.sub(head, 19) or string.rep('0', 67)
    call('SET', key, layout .. 'n' .. fence .. rest, 'PX', kept)
  end
  return shown('token', head, token_in(key, head))
end

-- Deletes the token of this version. `fence` is empty for an operator.
-- 'cleared' | 'conflict', see shown, token | 'superseded', fence | 'failed', error
local function clear_token(key, version, fence, kept)
  local head, failure = token_head(key)
  if failure then return {'failed', failure} end
  if not head then return {'conflict'} end
  local last = fence_in(head)
  if fence ~= '' and fence < last then return {'superseded', tonumber(last)} end
  if version ~= version_in(head) then return shown('conflict', head, token_in(key, head)) end
  if has_token(head) then
    last = fence > last and fence or last
    call('SET', key, layout .. 'n' .. last .. string.sub(head, 19), 'PX', kept)
  end
  return {'cleared'}
end
