-- Offers anew what was read and found no taker. KEYS: stream, index. ARGV: group, then entry and pointer in turn.
-- What was settled meanwhile is left alone. Answers how many were offered.
local given = 0
for i = 2, #ARGV, 2 do
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    redis.call('HSET', KEYS[2], ARGV[i + 1], redis.call('XADD', KEYS[1], '*', 'p', ARGV[i + 1]))
    given = given + 1
  end
end
return given
