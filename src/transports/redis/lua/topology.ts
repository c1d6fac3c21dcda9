/** Declaring, binding, asking and deleting. */

/** ARGV: session, exchange, definition. Answers the definition that is there. */
export const declareExchange = String.raw`
call('HSETNX', EXCHANGES, ARGV[2], ARGV[3])
return call('HGET', EXCHANGES, ARGV[2])
`

/**
 * ARGV: session, queue, definition, milliseconds of its TTL or '', `[[exchange, Kombu's line or '', ours or '']]`. Answers the
 * definition that is there, and where it is this one the counts of messages and consumers.
 */
export const declareQueue = String.raw`
local queue = ARGV[2]
local known = definition(queue)
if known and known.owner and known.owner ~= S then
  return refuse(405, 'queue "' .. queue .. '" belongs to another session alone')
end
local before = call('HGET', QUEUES, queue)
if not known or known.implicit then define(queue, ARGV[3])
elseif before ~= ARGV[3] then return { before } end
if not known and definition(queue).owner then call('SADD', OURS .. 'session.' .. S, 'x' .. queue) end
if ARGV[4] ~= '' then call('ZADD', DUE, 'NX', NOW + ARGV[4], STEPS[1] .. ':' .. queue) end
for _, binding in ipairs(cjson.decode(ARGV[5])) do
  if binding[2] ~= '' then call('SADD', P .. '_kombu.binding.' .. binding[1], binding[2]) end
  if binding[3] ~= '' then call('SADD', OURS .. 'binding.' .. binding[1], binding[3]) end
  call('SADD', OURS .. 'bound.' .. queue, binding[1])
end
used(queue)
return { ARGV[3], length(queue), call('HLEN', OURS .. 'consumers.' .. queue) }
`

/** Needed where something is deleted. */
export const deleting = String.raw`
local function bareExchange(exchange)
  local record = call('HGET', EXCHANGES, exchange)
  if not record or not cjson.decode(record).autoDelete then return end
  if call('EXISTS', P .. '_kombu.binding.' .. exchange, OURS .. 'binding.' .. exchange) == 0 then
    call('HDEL', EXCHANGES, exchange)
  end
end
local function deleteQueue(queue)
  for _, exchange in ipairs(call('SMEMBERS', OURS .. 'bound.' .. queue)) do
    local kombu, ours = P .. '_kombu.binding.' .. exchange, OURS .. 'binding.' .. exchange
    for _, line in ipairs(call('SMEMBERS', kombu)) do
      if string.sub(line, -#SEP - #queue) == SEP .. queue then call('SREM', kombu, line) end
    end
    for _, line in ipairs(call('SMEMBERS', ours)) do
      if cjson.decode(line)[1] == queue then call('SREM', ours, line) end
    end
    bareExchange(exchange)
  end
  local told = {}
  for _, consumer in ipairs(call('HKEYS', OURS .. 'consumers.' .. queue)) do
    local session = string.match(consumer, '^(.*):')
    if not told[session] then call('PUBLISH', OURS .. 'bell.' .. session, '-' .. queue) end
    told[session] = true
  end
  for _, step in ipairs(STEPS) do
    call('DEL', list(queue, step))
    call('ZREM', DUE, step .. ':' .. queue)
  end
  call('DEL', OURS .. 'bound.' .. queue, OURS .. 'consumers.' .. queue, OURS .. 'waiting.' .. queue, OURS .. 'active.' .. queue)
  call('HDEL', QUEUES, queue)
  call('ZREM', EXPIRES, queue)
  definitions[queue] = false
end
local function removeConsumer(queue, consumer)
  if call('HDEL', OURS .. 'consumers.' .. queue, consumer) == 0 then return end
  if call('GET', OURS .. 'active.' .. queue) == consumer then
    call('DEL', OURS .. 'active.' .. queue)
    wake(queue, 1)
  end
  local known = definition(queue)
  if known and known.autoDelete and call('HLEN', OURS .. 'consumers.' .. queue) == 0 then deleteQueue(queue) end
  used(queue)
end
`

/** ARGV: session, queue. */
export const removeQueue = String.raw`
local known = definition(ARGV[2])
if known and known.owner and known.owner ~= S then
  return refuse(405, 'queue "' .. ARGV[2] .. '" belongs to another session alone')
end
deleteQueue(ARGV[2])
return 1
`

/** ARGV: session, exchange. Queues keep what they hold. */
export const removeExchange = String.raw`
call('HDEL', EXCHANGES, ARGV[2])
call('DEL', P .. '_kombu.binding.' .. ARGV[2], OURS .. 'binding.' .. ARGV[2])
return 1
`

/** ARGV: session, exchange, JSON list of Kombu's lines, line of ours. */
export const unbind = String.raw`
call('SREM', P .. '_kombu.binding.' .. ARGV[2], unpack(cjson.decode(ARGV[3])))
call('SREM', OURS .. 'binding.' .. ARGV[2], ARGV[4])
bareExchange(ARGV[2])
return 1
`

/** ARGV: session, queue. Answers the counts of messages and consumers. */
export const inspect = String.raw`
local error = barred(ARGV[2])
if error then return error end
used(ARGV[2])
return { length(ARGV[2]), call('HLEN', OURS .. 'consumers.' .. ARGV[2]) }
`

/** ARGV: session, queue. Answers how many messages are gone. */
export const purge = String.raw`
local error = barred(ARGV[2])
if error then return error end
local count = length(ARGV[2])
for _, step in ipairs(STEPS) do call('DEL', list(ARGV[2], step)) end
return count
`

/** ARGV: session, queue, consumer, '1' to be alone. */
export const subscribe = String.raw`
if fenced() then return refuse(410, 'the lease of this session is over') end
local queue, consumers = ARGV[2], OURS .. 'consumers.' .. ARGV[2]
local error = barred(queue)
if error then return error end
probeBooks()
local others = call('HVALS', consumers)
local alone = #others > 0 and ARGV[4] == '1'
for _, other in ipairs(others) do alone = alone or other == '1' end
if alone then return refuse(403, 'queue "' .. queue .. '" is in exclusive use, or has consumers beside whom none can be exclusive') end
call('HSET', consumers, ARGV[3], ARGV[4])
call('SADD', OURS .. 'session.' .. S, 'c' .. queue)
used(queue)
return 1
`

/** ARGV: session, queue, consumer. */
export const cancel = String.raw`
removeConsumer(ARGV[2], ARGV[3])
return 1
`
