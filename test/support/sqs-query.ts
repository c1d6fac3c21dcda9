/**
 * SQS's older protocol, forms answered in XML, in front of an emulator that speaks the newer one alone: Debian's boto3, which Kombu goes through,
 * knows no other. Real SQS takes both.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

interface Action {
  /** The request of the newer protocol. */
  readonly asks: (form: URLSearchParams) => object
  /** The result as XML. */
  readonly tells: (answer: Answer) => string
}

interface Answer {
  readonly QueueUrl?: string
  readonly QueueUrls?: readonly string[]
  readonly Attributes?: Readonly<Record<string, string>>
  readonly MessageId?: string
  readonly MD5OfMessageBody?: string
  readonly Messages?: readonly {
    MessageId: string
    ReceiptHandle: string
    MD5OfBody: string
    Body: string
    Attributes?: Record<string, string>
  }[]
}

const nothing = (): string => ''
const queueUrl = (form: URLSearchParams): object => ({ QueueUrl: form.get('QueueUrl') })
const given = (form: URLSearchParams, ...names: string[]): object =>
  Object.fromEntries(names.flatMap((name) => (form.has(name) ? [[name, form.get(name)]] : [])))
const receipt = (form: URLSearchParams): object => ({ ...queueUrl(form), ReceiptHandle: form.get('ReceiptHandle') })

const actions: Readonly<Record<string, Action>> = {
  ListQueues: {
    asks: (form) => ({ QueueNamePrefix: form.get('QueueNamePrefix') ?? '' }),
    tells: ({ QueueUrls: urls = [] }) => urls.map((url) => xml('QueueUrl', url)).join(''),
  },
  GetQueueUrl: { asks: (form) => ({ QueueName: form.get('QueueName') }), tells: ({ QueueUrl: url = '' }) => xml('QueueUrl', url) },
  CreateQueue: {
    asks: (form) => ({ QueueName: form.get('QueueName'), Attributes: pairs(form, 'Attribute') }),
    tells: ({ QueueUrl: url = '' }) => xml('QueueUrl', url),
  },
  SendMessage: {
    asks: (form) => ({ ...queueUrl(form), ...given(form, 'MessageBody', 'MessageGroupId', 'MessageDeduplicationId') }),
    tells: ({ MessageId: id = '', MD5OfMessageBody: md5 = '' }) => xml('MessageId', id) + xml('MD5OfMessageBody', md5),
  },
  ReceiveMessage: {
    asks: (form) => ({
      ...queueUrl(form),
      MaxNumberOfMessages: Number(form.get('MaxNumberOfMessages') ?? 1),
      WaitTimeSeconds: Number(form.get('WaitTimeSeconds') ?? 0),
      AttributeNames: ['All'],
    }),
    tells: ({ Messages: messages = [] }) =>
      messages
        .map(({ Attributes: attributes, ...fields }) => {
          const told = ['MessageId', 'ReceiptHandle', 'MD5OfBody', 'Body'].map((name) => xml(name, fields[name as keyof typeof fields]))
          return `<Message>${told.join('')}${attributesXml(attributes)}</Message>`
        })
        .join(''),
  },
  DeleteMessage: { asks: receipt, tells: nothing },
  ChangeMessageVisibility: {
    asks: (form) => ({ ...receipt(form), VisibilityTimeout: Number(form.get('VisibilityTimeout')) }),
    tells: nothing,
  },
  GetQueueAttributes: {
    asks: (form) => ({ ...queueUrl(form), AttributeNames: ['All'] }),
    tells: ({ Attributes: attributes }) => attributesXml(attributes),
  },
}

/** The URL to give to such a client. */
export async function startQueryFront(endpoint: string): Promise<AsyncDisposable & { readonly host: string }> {
  const server = createServer((request, response) => {
    const answering = text(request).then(async (body) => {
      const form = new URLSearchParams(body)
      // Kombu's own client, which a Celery worker polls with, posts to the queue's URL instead of naming it.
      if (!form.has('QueueUrl')) form.set('QueueUrl', new URL(request.url ?? '', endpoint).href)
      const name = form.get('Action') ?? ''
      const action = actions[name]
      if (!action)
        return response
          .writeHead(400)
          .end(`<ErrorResponse><Error><Code>InvalidAction</Code><Message>${name}</Message></Error></ErrorResponse>`)
      const answer = await fetch(endpoint, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-amz-json-1.0',
          'x-amz-target': `AmazonSQS.${name}`,
          authorization: request.headers.authorization ?? '',
        },
        body: JSON.stringify(action.asks(form)),
      })
      const result = (await answer.json()) as Answer & { message?: string }
      // The emulator's URLs lead past this front.
      const ours = (text: string): string => text.replaceAll(/http:[^<]*?(?=\/\d{12}\/)/g, `http://${request.headers.host}`)
      const told = answer.ok
        ? `<${name}Response><${name}Result>${ours(action.tells(result))}</${name}Result></${name}Response>`
        : `<ErrorResponse><Error><Code>${answer.status}</Code>${xml('Message', result.message ?? '')}</Error></ErrorResponse>`
      response.writeHead(answer.status, { 'content-type': 'text/xml' }).end(told)
    })
    answering.catch(() => response.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** `Attribute.1.Name=…&Attribute.1.Value=…` */
function pairs(form: URLSearchParams, of: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (let i = 1, name = form.get(`${of}.1.Name`); name !== null; name = form.get(`${of}.${++i}.Name`))
    found[name] = form.get(`${of}.${i}.Value`) ?? ''
  return found
}

const attributesXml = (attributes: Readonly<Record<string, string>> = {}): string =>
  Object.entries(attributes)
    .map(([name, value]) => `<Attribute>${xml('Name', name)}${xml('Value', value)}</Attribute>`)
    .join('')

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' }

const xml = (name: string, value: string): string =>
  `<${name}>${value.replaceAll(/[&<>\r]/g, (character) => ESCAPES[character]!)}</${name}>`
