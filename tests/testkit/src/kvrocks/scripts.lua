local redis = (function(server)
  local own = {}
  for name, value in pairs(server) do own[name] = value end
  for _, name in ipairs({ 'acl_check_cmd', 'set_repl', 'replicate_commands', 'REDIS_VERSION', 'REDIS_VERSION_NUM' }) do
    own[name] = nil
  end
  local absent = { ACL = 1, BRPOPLPUSH = 1, HEXPIRE = 1, HPEXPIRE = 1, SPUBLISH = 1, WAITAOF = 1 }
  local outside = { EVAL = 1, EVALSHA = 1, PSUBSCRIBE = 1, PUBSUB = 1, SCRIPT = 1, SUBSCRIBE = 1, UNSUBSCRIBE = 1, WAIT = 1 }
  local timed = { EXPIRE = 1, EXPIREAT = 1, PEXPIRE = 1, PEXPIREAT = 1 }
  local function refusal(name, ...)
    if absent[name] then return 'Unknown Redis command called from Lua script' end
    if outside[name] then return 'This Redis command is not allowed from scripts' end
    if timed[name] and select('#', ...) > 2 then
      return 'Wrong number of args calling Redis command From Lua script'
    end
  end
  local function changed(answer, name, ...)
    if type(answer) == 'table' and answer.err and string.find(answer.err, '^WRONGTYPE') then
      return { err = 'Invalid argument: ' .. answer.err }
    end
    if name == 'INFO' and type(answer) == 'string' then
      return (string.gsub(string.gsub(answer, 'used_memory:%d+\r\n', ''), 'maxmemory:%d+\r\n', ''))
    end
    if name == 'LPOS' and type(answer) == 'table' and not answer.err then
      for index, at in ipairs(answer) do answer[index] = tostring(at) end
    end
    return answer
  end
  own.call = function(name, ...)
    local upper = string.upper(name)
    local why = refusal(upper, ...)
    if why then error(why, 0) end
    return changed(server.call(name, ...), upper, ...)
  end
  own.pcall = function(name, ...)
    local upper = string.upper(name)
    local why = refusal(upper, ...)
    if why then return { err = why } end
    return changed(server.pcall(name, ...), upper, ...)
  end
  return own
end)(redis)
