-- The writes of a record, each as a function that first checks everything, then writes once, and
-- returns its answer. `kept`: how long a record without a lasting token is kept (ms).
-- needs: call, now, now_up, micros, layout, token_head, has_token, fence_in, version_in, shown
-- needs: token_in
local function in_digits(number, width)
  return string.format('%0' .. width .. 'd', number)
end

-- Writes what is there, so that WAIT covers it.
local function write_again(key, head)
  call('SETRANGE', key, '0', string.sub(head, 1, 1))
end

-- Replaces the token of version `expected` (empty: none). `ttl`: ms, 0: none.
-- 'saved', see shown | 'conflict', see shown, token | 'superseded', fence | 'failed', error
local function save_token(key, fence, expected, request, ttl, kept, token)
  local head, failure = token_head(key)
  if failure then return {'failed', failure} end
  local version = micros
  if head then
    local exists = has_token(head)
    if string.sub(head, 70, 85) == request then
      if not exists then return {'conflict'} end
      write_again(key, head)
      return shown('saved', head)
    end
    if fence < fence_in(head) then return {'superseded', tonumber(fence_in(head))} end
    if expected ~= (exists and version_in(head) or '') then
      local stored = token_in(key, head)
      if stored == token and fence == fence_in(head) then
        write_again(key, head)
        return shown('saved', head)
      end
      return shown('conflict', head, stored)
    end
    version = math.max(version, tonumber(version_in(head)) + 1)
  elseif expected ~= '' then
    return {'conflict'}
  end
  local till = ttl > 0 and now_up + ttl or 0
  local times = in_digits(now, 15) .. in_digits(till, 15)
  head = layout .. 't' .. fence .. in_digits(version, 16) .. times
  head = head .. in_digits(#token, 5) .. request
  if ttl > 0 then
    call('SET', key, head .. token, 'PX', ttl + kept)
  else
    call('SET', key, head .. token)
  end
  return shown('saved', head)
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
