import type { FrameWriter, Method, MethodName } from '../../amqp/index.ts'
import { ProtocolError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'
import { CHANNEL_MAX, checkTuning, FRAME_MAX, HEARTBEAT_SECONDS, type Login, readLogin, serverProperties } from './handshake.ts'

/** What a client and we have agreed on. */
export interface Tuning {
  readonly frameMax: number
  readonly channelMax: number
  /** Seconds. */
  readonly heartbeat: number
}

/** What the handshake needs of the connection that it opens. */
export interface OpeningHost {
  readonly writer: FrameWriter
  /** It has neither been closed nor ended meanwhile. */
  readonly opening: boolean
  tuned(tuning: Tuning): void
  /** Throws `ProtocolError` for a virtual host that is not there. */
  opened(vhost: string): void
  close(replyCode: number, replyText: string, method?: MethodName): void
  end(reason: string): void
  failed(error: unknown): void
}

type Step = 'header' | 'start-ok' | 'login' | 'tune-ok' | 'open' | 'done'

/** The handshake of one connection, from the protocol header to `open-ok` (AMQP 0-9-1 §2.2.4), and who it showed the client to be. */
export class Opening {
  user = ''
  clientProperties: Headers = {}
  readonly #host: OpeningHost
  readonly #admits: (login: Login) => boolean | Promise<boolean>
  #step: Step = 'header'

  constructor(host: OpeningHost, admits: (login: Login) => boolean | Promise<boolean>) {
    this.#host = host
    this.#admits = admits
  }

  /** Says what it speaks, once. */
  begin(): void {
    const { writer } = this.#host
    this.#step = 'start-ok'
    writer.frameMax = FRAME_MAX
    const [mechanisms, locales] = ['PLAIN AMQPLAIN', 'en_US'].map((value) => Buffer.from(value)) as [Buffer, Buffer]
    writer.method(0, 'connection.start', { versionMajor: 0, versionMinor: 9, serverProperties, mechanisms, locales })
  }

  /** A method of the handshake has come; out of turn it closes the connection. */
  method(method: Method<'connection.start-ok' | 'connection.tune-ok' | 'connection.open'>): void {
    switch (method.name) {
      case 'connection.start-ok':
        return this.#expect('start-ok', method.name, () => this.#login(method.args))
      case 'connection.tune-ok':
        return this.#expect('tune-ok', method.name, () => this.#tune(method.args))
      case 'connection.open':
        return this.#expect('open', method.name, () => {
          this.#host.opened(method.args.virtualHost)
          this.#step = 'done'
        })
    }
  }

  /** The client has said that it understands this. */
  can(capability: string): boolean {
    const { capabilities } = this.clientProperties
    return typeof capabilities === 'object' && capabilities !== null && Reflect.get(capabilities, capability) === true
  }

  #expect(step: Step, name: MethodName, proceed: () => void): void {
    if (this.#step !== step) return this.#host.close(503, `COMMAND_INVALID - unexpected ${name}`, name)
    try {
      proceed()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#host.close(error.replyCode, error.message, name)
    }
  }

  #login(args: { mechanism: string; response: Uint8Array; clientProperties: Headers }): void {
    this.clientProperties = args.clientProperties
    const login = readLogin(args.mechanism, args.response)
    this.#step = 'login'
    const decide = (admitted: boolean): void =>
      this.#expect('login', 'connection.start-ok', () => {
        if (admitted) this.#welcome(login)
        else this.#refuse(args.mechanism)
      })
    const admitted = this.#admits(login)
    if (typeof admitted === 'boolean') return decide(admitted)
    admitted.then(
      (is) => {
        if (this.#host.opening) decide(is)
      },
      (error: unknown) => this.#host.failed(error),
    )
  }

  #welcome({ user }: Login): void {
    this.user = user
    this.#step = 'tune-ok'
    this.#host.writer.method(0, 'connection.tune', { channelMax: CHANNEL_MAX, frameMax: FRAME_MAX, heartbeat: HEARTBEAT_SECONDS })
  }

  #refuse(mechanism: string): void {
    const refusal = `ACCESS_REFUSED - Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`
    if (!this.can('authentication_failure_close')) return this.#host.end(refusal)
    this.#host.close(403, refusal)
  }

  #tune({ channelMax, frameMax, heartbeat }: Tuning): void {
    checkTuning(channelMax, frameMax)
    this.#host.tuned({
      frameMax: frameMax === 0 ? FRAME_MAX : frameMax,
      channelMax: channelMax === 0 ? CHANNEL_MAX : channelMax,
      heartbeat,
    })
    this.#step = 'open'
  }
}
