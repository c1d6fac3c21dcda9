/**
 * Copies of a batch of messages into queues, all or none. The publisher has found the queues itself, by bindings that it
 * remembers: when those have changed nothing is done, and the answer is what they are now.
 *
 * ARGV[2]: `{ exchanges: [[name, fingerprint]], queues: [name], messages: [[kind, expirationMs, priority, [queue index], channel?]],
 * first: number of the first message, publisher: which of the session's it is, epoch: how often it was told that bindings have changed }`
 * ARGV[3…]: each message's envelope, without what is written here. Answers for each message how many queues got it, -1 where one
 * of them was full, or the text of an error.
 */
export const publish = String.raw`
local plan = cjson.decode(ARGV[2])
-- Behind a batch that was not done nothing of its epoch is, or the order would be lost: bindings may have changed back meanwhile.
local barrier = OURS .. 'barrier.' .. S .. '.' .. plan.publisher
local refused = tonumber(call('GET', barrier) or -1)
if plan.epoch <= refused then return { 'stale', {} } end
local changed = stale(plan.exchanges)
if #changed > 0 then
  call('SET', barrier, plan.epoch, 'EX', 60)
  return { 'stale', changed }
end
if refused >= 0 then call('DEL', barrier) end

local broken, there, ready = {}, {}, {}
for i, queue in ipairs(plan.queues) do
  local ok, count = pcall(length, queue)
  if not ok then broken[i] = 'queue "' .. queue .. '": ' .. (type(count) == 'table' and count.err or tostring(count)) end
  there[i] = ok and exists(queue)
end

local answers = {}
for i, message in ipairs(plan.messages) do
  local kind, expires, priority, text = message[1], message[2], message[3], ARGV[2 + i]
  local tag = S .. '.' .. plan.first + i .. '.'
  local answer = 0
  for copy, index in ipairs(message[4]) do
    local queue = plan.queues[index]
    if broken[index] then answer = broken[index]
    -- A binding is as good as the queue, but for Kombu's fanout queues, which are no lists.
    elseif kind == 'direct' and (there[index] or ready[queue]) or kind == 'bound' or kind == 'fanout' and definition(queue) then
      local taken = push(queue, text, expires, priority, tag .. copy)
      if taken == 1 then ready[queue] = (ready[queue] or 0) + 1 end
      if type(answer) == 'number' and answer >= 0 then answer = taken == 1 and answer + 1 or -1 end
    end
  end
  if message[5] then
    local envelope = '{' .. text .. '"priority":0,"body_encoding":"base64","delivery_tag":"' .. tag .. '0"}}'
    local heard = call('PUBLISH', P .. message[5], envelope)
    if type(answer) == 'number' and answer >= 0 then answer = answer + heard end
  end
  answers[i] = answer
end
write()
for queue, count in pairs(ready) do wake(queue, count) end
return answers
`

/** What tells whether an exchange's bindings have changed. Kombu's bindings are lines of a set; those with arguments are in one of ours. */
export const bindings = String.raw`
local function bindings(exchange)
  local record = call('HGET', EXCHANGES, exchange)
  local kombu = call('SMEMBERS', P .. '_kombu.binding.' .. exchange)
  local headers = call('SMEMBERS', OURS .. 'binding.' .. exchange)
  local fingerprint = ''
  if record or #kombu > 0 or #headers > 0 then
    table.sort(kombu)
    table.sort(headers)
    fingerprint = redis.sha1hex((record or '') .. '\n' .. table.concat(kombu, '\n') .. '\n\n' .. table.concat(headers, '\n'))
  end
  return { exchange, fingerprint, record or '', kombu, headers }
end
-- Those of [[name, fingerprint]] that are otherwise now.
local function stale(exchanges)
  local found = {}
  for _, exchange in ipairs(exchanges) do
    local now = bindings(exchange[1])
    if now[2] ~= exchange[2] then found[#found + 1] = now end
  end
  return found
end
`
