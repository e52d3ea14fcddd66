-- Reads without waiting. KEYS: streams, best first. ARGV: group, consumer, a number for each stream.
-- Answers {position of the stream, entry, pointer}. What a stream has less than its number, the others give more.
local out, left, full = {}, 0, {}
local function read(at, count)
  local got = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', count, 'STREAMS', KEYS[at], '>')
  local entries = got and got[1] and got[1][2] or {}
  for _, entry in ipairs(entries) do
    out[#out + 1] = { at, entry[1], entry[2][2] }
  end
  return #entries
end
for at = 1, #KEYS do
  local count = tonumber(ARGV[2 + at])
  if count > 0 then
    local got = read(at, count)
    left = left + count - got
    full[at] = got == count
  else
    full[at] = true
  end
end
for at = 1, #KEYS do
  if left > 0 and full[at] then
    left = left - read(at, left)
  end
end
return out
