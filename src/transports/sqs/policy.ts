/** Who may send to a queue: a document in JSON, to which SNS is added without touching what others have written. */

/**
 * Not Kombu's `KombuManaged`: it keeps one topic per queue there, and would take the others of a queue that is bound to several out with each
 * of its starts.
 */
const SID = 'OmnibusManaged'

/** The policy with one statement that lets in these topics besides those it let in before; undefined where it does already. */
export function allowing(policy: string | undefined, queueArn: string, topicArns: readonly string[]): string | undefined {
  const document = documentIn(policy)
  const statements = [document['Statement'] ?? []].flat() as unknown[]
  const before = statements.map(topicsIn).find((topics) => topics !== undefined)
  const topics = [...new Set([...(before ?? []), ...topicArns])]
  if (before && topics.length === before.length) return undefined
  const statement = {
    Sid: SID,
    Effect: 'Allow',
    Principal: { Service: 'sns.amazonaws.com' },
    Action: 'sqs:SendMessage',
    Resource: queueArn,
    Condition: { ArnLike: { 'aws:SourceArn': topics } },
  }
  const others = statements.filter((other) => topicsIn(other) === undefined)
  return JSON.stringify({ Version: '2012-10-17', ...document, Statement: [...others, statement] })
}

/** Of our statement; undefined for any other. */
function topicsIn(statement: unknown): readonly string[] | undefined {
  if (tableOf(statement)['Sid'] !== SID) return undefined
  const topics = tableOf(tableOf(tableOf(statement)['Condition'])['ArnLike'])['aws:SourceArn']
  return [topics].flat().filter((topic) => typeof topic === 'string')
}

/** SQS takes no policy that cannot be read, so that one is none. */
function documentIn(policy: string | undefined): Readonly<Record<string, unknown>> {
  try {
    return tableOf(JSON.parse(policy ?? '{}'))
  } catch {
    return {}
  }
}

const tableOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : {}
