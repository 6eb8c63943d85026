-- broadcast/publish: sends a message to the processes that listen. Stores nothing.
-- KEYS[1]  the channel: it is no key and is never written; it determines the slot
-- ARGV[1]  deadline
-- ARGV[2]  the command that publishes: SPUBLISH in a cluster, else PUBLISH
-- ARGV[3]  the identity of the message: 16 characters
-- ARGV[4]  the message
-- Returns  'published', the number of connections that the message was sent to
-- Retry    sends it again, marked as a repetition: listeners recognise the identity
-- Cost     O(connections)
-- The form of a message, its identity, its bytes. Form 1: the first copy, 2: a repetition.
local message = (is_repeat and '2' or '1') .. ARGV[3] .. ARGV[4]
return {'published', call(ARGV[2], KEYS[1], message)}
