/** What every session does again and again, for itself and for those that can no longer. */

/** Ends a session: what it held goes back, its exclusive queues and its consumers are gone. Nothing of it works afterwards. */
export const ending = String.raw`
local function endSession(session, how)
  -- Fenced first, so that nothing it has sent and Redis has not read yet takes more.
  call('ZADD', SESSIONS, 0, session)
  local held, cursor = {}, '0'
  repeat
    local page = call('ZSCAN', INDEX, cursor, 'MATCH', session .. ':*', 'COUNT', 1000)
    cursor = page[1]
    for i = 1, #page[2], 2 do held[#held + 1] = page[2][i] end
  until cursor == '0'
  local number = function(field) return tonumber(string.match(field, '(%d+)$')) end
  -- The last taken goes back first, so that they lie as they lay.
  table.sort(held, function(a, b) return number(a) > number(b) end)
  for _, field in ipairs(held) do giveBack(field, how) end
  local things = OURS .. 'session.' .. session
  for _, thing in ipairs(call('SMEMBERS', things)) do
    local queue = string.sub(thing, 2)
    if string.sub(thing, 1, 1) == 'c' then
      for _, consumer in ipairs(call('HKEYS', OURS .. 'consumers.' .. queue)) do
        if string.sub(consumer, 1, #session + 1) == session .. ':' then removeConsumer(queue, consumer) end
      end
    elseif definition(queue) and definition(queue).owner == session then deleteQueue(queue) end
  end
  call('DEL', things)
  call('ZREM', SESSIONS, session)
end
`

/** ARGV: session, milliseconds of its lease. */
export const begin = String.raw`
call('ZADD', SESSIONS, NOW + ARGV[2], S)
return string.format('%.0f', NOW)
`

/** ARGV: session that ends in order: what it holds was not failed by anyone. */
export const leave = String.raw`
endSession(S, 'release')
return 1
`

/**
 * ARGV: session, milliseconds of its lease, JSON list of sessions of this process that died, '1' where it listens, bytes of letters it
 * takes at a time. Answers the milliseconds until the next message expires, or -1, and letters to deliver, if it is this session's turn.
 */
export const tick = String.raw`
if fenced() then return refuse(410, 'the lease of this session is over') end
call('ZADD', SESSIONS, NOW + ARGV[2], S)
-- So that it hears whether its bell can be heard.
if ARGV[4] == '1' then call('PUBLISH', OURS .. 'bell.' .. S, '') end

for _, session in ipairs(cjson.decode(ARGV[3])) do endSession(session, 'requeue') end
for _, session in ipairs(call('ZRANGEBYSCORE', SESSIONS, '-inf', NOW, 'LIMIT', 0, 2)) do endSession(session, 'requeue') end

for _, queue in ipairs(call('ZRANGEBYSCORE', EXPIRES, '-inf', NOW, 'LIMIT', 0, 16)) do
  if call('HLEN', OURS .. 'consumers.' .. queue) > 0 then used(queue) else deleteQueue(queue) end
end

-- Messages expire at the head of their list, as in RabbitMQ. Returns when to look again.
local function sweep(queue, step)
  local known = definition(queue)
  local key = list(queue, step)
  for _ = 1, 200 do
    local text = call('LINDEX', key, -1)
    if not text then return known and known.ttl and NOW + EMPTY_MS or nil end
    local h = readHead(text)
    if not h and not (string.find(text, '^{%s*"') and pcall(cjson.decode, text)) then
      call('LPUSH', OURS .. 'dead.' .. queue, call('RPOP', key))
    else
      if not h then
        h = headOf(text)
        call('LSET', key, -1, withHead(text, h))
      end
      local at = expiry(known, h)
      if not at then return NOW + BEHIND_MS end
      if at > NOW then return at end
      bury(queue, call('RPOP', key), 'expired')
    end
  end
  return NOW
end
for _, entry in ipairs(call('ZRANGEBYSCORE', DUE, '-inf', NOW, 'LIMIT', 0, 32)) do
  local step, queue = string.match(entry, '^(%d+):(.*)$')
  local again = sweep(queue, tonumber(step))
  if again then call('ZADD', DUE, again, entry) else call('ZREM', DUE, entry) end
end

local first = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
return { first[2] and string.format('%.0f', math.max(0, first[2] - NOW)) or '-1', letters(tonumber(ARGV[5])) }
`
  .replaceAll('EMPTY_MS', '5000')
  .replaceAll('BEHIND_MS', '1000')

/** A few letters, the oldest first, for one session at a time. */
export const letters = String.raw`
local function letters(room)
  if call('LLEN', LETTERS) == 0 then return {} end
  if not call('SET', OURS .. 'letters.lock', S, 'NX', 'PX', LETTERS_LOCK_MS) then return {} end
  local taken, bytes = {}, 0
  for i = 1, 64 do
    local letter = bytes <= room and call('LINDEX', LETTERS, -i)
    if not letter then break end
    taken[i] = letter
    bytes = bytes + #letter
  end
  return taken
end
`

/**
 * Moves letters into queues, from the oldest on, each only if it is still there. ARGV[2]: `{ exchanges: [[name, fingerprint]],
 * letters: [[sha1, priority, [queue], where one that cannot be read is put aside]], more: whether to go on, room: bytes of letters to answer }`, ARGV[3…]: their new
 * envelopes. Answers as `publish` where bindings have changed meanwhile, else more letters.
 */
export const deliverLetters = String.raw`
local plan = cjson.decode(ARGV[2])
local changed = stale(plan.exchanges)
if #changed > 0 then return { 'stale', changed } end
local full = false
for i, letter in ipairs(plan.letters) do
  local there = call('LINDEX', LETTERS, -1)
  if not there or redis.sha1hex(there) ~= letter[1] then break end
  call('RPOP', LETTERS)
  if letter[4] then call('LPUSH', OURS .. 'dead.' .. letter[4], string.match(there, '\n(.*)')) end
  for copy, queue in ipairs(letter[3]) do
    if exists(queue) then
      local taken = push(queue, ARGV[2 + i], 0, letter[2], S .. '.l.' .. string.sub(letter[1], 1, 12) .. '.' .. copy)
      write()
      if taken == 1 then wake(queue, 1)
      else
        -- It waits until there is room.
        call('LPUSH', LETTERS, there)
        full = true
      end
    end
  end
end
call('DEL', OURS .. 'letters.lock')
if full or not plan.more then return {} end
return letters(tonumber(plan.room))
`

/** Keeps the scores of held messages fresh, so that no Kombu takes them for forgotten. ARGV: session, field…. */
export const renew = String.raw`
for i = 2, #ARGV do call('ZADD', INDEX, 'XX', SECONDS, ARGV[i]) end
return 1
`
