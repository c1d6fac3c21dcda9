/** What the scripts share: names, definitions, how a message lies in a list, and waking who waits. */
import type { Names } from '../names.ts'

/** Text as Lua reads it back, whatever is in it. */
const quoted = (text: string): string => `"${[...Buffer.from(text)].map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')}"`

/** Milliseconds a deliverer of dead letters may take before another one begins. */
const LETTERS_LOCK_MS = 5_000

/**
 * While its slot moves to another node, a key that is not here may be there: a script would end at the first one, half done. So it ends
 * before it has begun, at one that is nowhere.
 */
const UNLESS_MOVING = `redis.call('EXISTS', OURS .. 'nothing')`

/**
 * Put before each script. `S` is the session that calls. Times are Redis' own, in milliseconds. Scripts read and write keys that
 * they find out about as they run, which a cluster allows where all of them lie in one slot: one hash tag in the prefix.
 */
export const library = (names: Names, flags: string, cluster: boolean): string => `#!lua flags=${flags}
local P, SEP, UNACKED, INDEX = ${[names.prefix, names.sep, names.prefix + names.unackedKey, names.prefix + names.unackedIndexKey].map(quoted).join(', ')}
local STEPS = {${names.prioritySteps.join(', ')}}
local S = ARGV[1]
local OURS = P .. '_omnibus.'
local QUEUES, EXCHANGES, SESSIONS, DUE, EXPIRES, LETTERS =
  OURS .. 'queues', OURS .. 'exchanges', OURS .. 'sessions', OURS .. 'due', OURS .. 'expires', OURS .. 'letters'
local LETTERS_LOCK_MS = ${LETTERS_LOCK_MS}
${cluster ? UNLESS_MOVING : ''}
${String.raw`
local call = redis.call
local time = call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
local SECONDS, NOW_TEXT = string.format('%.3f', NOW / 1000), string.format('%.0f', NOW)

local function refuse(code, text) return redis.error_reply('OMNIBUS ' .. code .. ' ' .. text) end
local function list(queue, step) return step == 0 and P .. queue or P .. queue .. SEP .. step end

-- The session's lease is over, and what it held may be with others.
local function fenced()
  local score = call('ZSCORE', SESSIONS, S)
  return not score or tonumber(score) == 0
end

local definitions = {}
local function define(queue, text)
  call('HSET', QUEUES, queue, text)
  definitions[queue] = cjson.decode(text)
end
-- What we know of a queue; false where only Kombu knows it.
local function definition(queue)
  local known = definitions[queue]
  if known == nil then
    local text = call('HGET', QUEUES, queue)
    known = text and cjson.decode(text) or false
    definitions[queue] = known
  end
  return known
end

-- Kombu's queues exist while they hold something, or are bound as Celery binds its own: to an exchange of their name.
local function exists(queue)
  if definition(queue) then return true end
  for _, step in ipairs(STEPS) do
    if call('EXISTS', list(queue, step)) == 1 then return true end
  end
  return call('SISMEMBER', P .. '_kombu.binding.' .. queue, queue .. SEP .. SEP .. queue) == 1
end

local function length(queue)
  local sum = 0
  for _, step in ipairs(STEPS) do sum = sum + call('LLEN', list(queue, step)) end
  return sum
end

-- An error reply where this session may not use the queue, or there is none.
local function barred(queue)
  local known = definition(queue)
  if not known and not exists(queue) then return refuse(404, 'there is no queue "' .. queue .. '"') end
  if not known then define(queue, '{"implicit":true}') end
  if known and known.owner and known.owner ~= S then
    return refuse(405, 'queue "' .. queue .. '" belongs to another session alone')
  end
end

-- Throws where we may not keep the books, before a message is taken that could not be written into them.
local function probeBooks()
  call('HSET', UNACKED, S, '')
  call('HDEL', UNACKED, S)
  call('ZADD', INDEX, 0, S)
  call('ZREM', INDEX, S)
end

local function used(queue)
  local known = definition(queue)
  if known and known.expires then call('ZADD', EXPIRES, NOW + known.expires, queue) end
end

-- Our messages begin with a head: when they came, when they expire (0: never), how often they were delivered before,
-- whether they come again, and AMQP's priority ('-': what the envelope says). Kombu takes it for one more key of the envelope, and keeps it.
local function head(at, expires, count, again, priority)
  return string.format('{"_omnibus":"%.0f|%.0f|%d|%d|%s",', at, expires, count, again, priority)
end
local function readHead(text)
  local at, expires, count, again, priority, rest =
    string.match(text, '^{"_omnibus": ?"(%d+)|(%d+)|(%d+)|([01])|([%d-]*)", ?()')
  if not at then return nil end
  return { at = tonumber(at), expires = tonumber(expires), count = tonumber(count), again = tonumber(again),
    priority = priority, rest = rest }
end
-- A message that Kombu wrote gets its head when we first write it: its time begins then, and its priority is where Kombu put it.
local function headOf(text)
  return readHead(text) or { at = NOW, expires = 0, count = 0, again = 0, priority = '-', rest = 2 }
end
local function withHead(text, h) return head(h.at, h.expires, h.count, h.again, h.priority) .. string.sub(text, h.rest) end

-- When a message of this queue expires; nil for never.
local function expiry(known, h)
  local own = h.expires > 0 and h.expires or nil
  local queues = known and known.ttl and h.at + known.ttl or nil
  return own and queues and math.min(own, queues) or own or queues
end

-- Redis looks at lists of messages that may expire when the one at the head does.
local function watch(queue, step, at)
  if at then call('ZADD', DUE, 'LT', at, step .. ':' .. queue) end
end

-- Wakes as many of the sessions that wait for this queue as there are messages, of those that live still; all of them where only
-- one may have any.
local function wake(queue, count)
  local known = definition(queue)
  if known and known.single then count = math.huge end
  while count > 0 do
    local session = call('SPOP', OURS .. 'waiting.' .. queue)
    if not session then return end
    if call('PUBLISH', OURS .. 'bell.' .. session, '+' .. queue) > 0 then count = count - 1 end
  end
end

-- What a queue gives up goes to the letters, from where a session routes it on; without a dead letter exchange it is dropped.
local function bury(queue, text, reason)
  local known = definition(queue)
  if not (known and known.deadLetterExchange) then return end
  local label = cjson.encode({ queue = queue, reason = reason, exchange = known.deadLetterExchange, key = known.deadLetterKey })
  call('LPUSH', LETTERS, label .. '\n' .. text)
end

-- Kombu's priorities fall, 0 is the most urgent; AMQP's rise up to the queue's maximum.
local function fall(priority, maximum) return 9 - math.floor(math.min(priority, maximum) * 9 / maximum + 0.5) end
local function stepOf(falling)
  local found = STEPS[1]
  for _, step in ipairs(STEPS) do
    if step <= falling then found = step end
  end
  return found
end

-- What is added to the end of a queue is gathered, and written in the order it came.
local gathered, lists = {}, {}
local function write()
  for _, key in ipairs(lists) do
    local texts = gathered[key]
    for i = 1, #texts, 1000 do call('LPUSH', key, unpack(texts, i, math.min(#texts, i + 999))) end
  end
  gathered, lists = {}, {}
end
-- Returns 1, or -1 where the queue is full.
local function push(queue, text, expires, priority, tag)
  local known = definition(queue)
  local falling, step, bounded = 0, STEPS[1], known and known.maxLength
  if known and known.maxPriority then
    falling = fall(tonumber(priority) or 0, known.maxPriority)
    step = stepOf(falling)
  end
  if bounded then
    write()
    if known.overflow == 'reject-publish' and length(queue) >= bounded then return -1 end
  end
  local key = list(queue, step)
  local texts = gathered[key]
  if not texts then
    texts = {}
    gathered[key] = texts
    lists[#lists + 1] = key
  end
  local at = expires > 0 and NOW + expires or 0
  texts[#texts + 1] = table.concat({
    '{"_omnibus":"', NOW_TEXT, at == 0 and '|0|0|0|' or string.format('|%.0f|0|0|', at), priority, '",', text,
    '"priority":', falling, ',"body_encoding":"base64","delivery_tag":"', tag, '"}}' })
  if at > 0 or known and known.ttl then watch(queue, step, expiry(known, { at = NOW, expires = at })) end
  if bounded then
    write()
    for _ = bounded + 1, length(queue) do
      for i = #STEPS, 1, -1 do
        local oldest = call('RPOP', list(queue, STEPS[i]))
        if oldest then bury(queue, oldest, 'maxlen') break end
      end
    end
  end
  return 1
end
`}`
