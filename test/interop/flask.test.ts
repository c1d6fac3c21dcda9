/** A Flask app under Gunicorn beside `omnibus serve`: one bus, two languages, two supervisors. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'omnibus'
import { describe, expect, test } from 'vitest'
import { copyOfExample, omnibus, root } from '../support/omnibus.ts'
import { have } from '../support/packages.ts'
import { freePorts } from '../support/ports.ts'
import { run } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { waitFor } from '../support/wait.ts'

const hasFlask = have('gunicorn', 'python3-flask', 'python3-kombu')

describe.runIf(hasFlask).each(['the built-in broker', 'RabbitMQ'])('on %s', (where) => {
  test.runIf(where !== 'RabbitMQ' || hasRabbit())('Gunicorn, Flask and Kombu consume what omnibus publishes, and answer', async () => {
    const [webPort, busPort, flaskPort] = (await freePorts(3)) as [number, number, number]
    const busUrl = where === 'RabbitMQ' ? await sharedRabbit() : `amqp://guest:guest@127.0.0.1:${busPort}`
    await using node = omnibus(['serve', 'omnibus.config.ts', '-b', `127.0.0.1:${webPort}`], {
      cwd: copyOfExample('python-peer'),
      env: where === 'RabbitMQ' ? { BUS_URL: busUrl } : { BUS_LISTEN: `127.0.0.1:${busPort}` },
      label: 'omnibus',
    })
    const greet = async (text: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${webPort}/greetings`, { method: 'POST', body: JSON.stringify({ text }) })).status

    // Before the Flask app has ever run: kept for it.
    await waitFor(async () => (await greet('early')) === 202, { what: 'the web app to publish' })
    const flaskFolder = tempDir('flask')
    cpSync(join(root, 'examples/python-peer/flask_app'), flaskFolder, { recursive: true })
    await using flask = run('/usr/bin/python3', ['/usr/bin/gunicorn', '-c', 'gunicorn.conf.py', 'app:app'], {
      cwd: flaskFolder,
      env: { BUS_URL: busUrl, BIND: `127.0.0.1:${flaskPort}`, PYTHONDONTWRITEBYTECODE: '1' },
      label: 'gunicorn',
    })
    await flask.line(/received early/)
    await node.line('answer to "early": early to you too')
    for (const number of [1, 2, 3]) await flask.line(`consumer ${number}: consuming`)
    expect(await greet('late')).toBe(202)
    await node.line('answer to "late": late to you too')
    const page = await waitFor(async () => (await fetch(`http://127.0.0.1:${flaskPort}`)).json(), { what: 'Flask to answer' })
    expect(page).toEqual({ hello: 'from Flask' })

    const connection = connect(busUrl)
    const consumers = async (): Promise<number> => (await connection.inspect('flask.greetings')).consumers
    expect(await consumers()).toBe(3)
    flask.signal('SIGTERM')
    expect(await flask.exit()).toEqual({ code: 0, signal: null })
    await waitFor(async () => (await consumers()) === 0, { what: 'the broker to see its consumers leave', deadlineMs: 1_000 })
    await connection.close()

    node.signal('SIGTERM')
    expect(await node.exit()).toEqual({ code: 0, signal: null })
    expect(node.processes()).toEqual([])
  })
})
