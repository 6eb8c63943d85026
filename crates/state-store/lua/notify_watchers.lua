-- Notifies the processes that watch a key, after its writes.
-- `publish`: SPUBLISH in a cluster, else PUBLISH. The channel of `ns:{tag}:part` is
-- `ns:wake:{tag}:part`. Without the right to publish, watchers read every few seconds.
local function notify_watchers(publish, key)
  redis.pcall(publish, (string.gsub(key, ':', ':wake:', 1)), '')
end
