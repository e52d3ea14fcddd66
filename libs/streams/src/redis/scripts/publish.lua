-- Offers pointers once each. KEYS: stream, index (pointer → entry). ARGV: pointers. Answers how many were new.
-- The index alone is not believed: the stream may have been deleted or cut.
local added = 0
for _, pointer in ipairs(ARGV) do
  local id = redis.call('HGET', KEYS[2], pointer)
  if not id or #redis.call('XRANGE', KEYS[1], id, id) == 0 then
    redis.call('HSET', KEYS[2], pointer, redis.call('XADD', KEYS[1], '*', 'p', pointer))
    added = added + 1
  end
end
return added
