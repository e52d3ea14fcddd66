-- Offers pointers once each. KEYS: stream, index (pointer → entry). ARGV: pointers. Answers how many were new.
-- The index alone is not believed: the stream may have been deleted or cut, and a new one may have given the entry's id
-- to another pointer within the same millisecond.
local added = 0
for _, pointer in ipairs(ARGV) do
  local id = redis.call('HGET', KEYS[2], pointer)
  local found = id and redis.call('XRANGE', KEYS[1], id, id)[1]
  if not found or found[2][2] ~= pointer then
    redis.call('HSET', KEYS[2], pointer, redis.call('XADD', KEYS[1], '*', 'p', pointer))
    added = added + 1
  end
end
return added
