/**
 * What was sent, confirmed and handled, and whether that adds up: a message the broker confirmed must be handled, and
 * none may be handled that was never sent. Twice is allowed, where a fault struck between the handling and the ack.
 */
export class Ledger {
  readonly sent = new Set<string>()
  readonly confirmed = new Set<string>()
  readonly failed = new Map<string, unknown>()
  readonly handled = new Map<string, number>()

  handle(id: string): void {
    this.handled.set(id, (this.handled.get(id) ?? 0) + 1)
  }

  get lost(): string[] {
    return [...this.confirmed].filter((id) => !this.handled.has(id))
  }

  get unexpected(): string[] {
    return [...this.handled.keys()].filter((id) => !this.sent.has(id))
  }

  get duplicates(): number {
    return [...this.handled.values()].filter((times) => times > 1).length
  }

  /** Neither confirmed nor refused: a promise that hangs. */
  get stuck(): string[] {
    return [...this.sent].filter((id) => !this.confirmed.has(id) && !this.failed.has(id))
  }
}
