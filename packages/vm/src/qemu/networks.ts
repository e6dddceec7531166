/** The network cards of a running guest. */
import type { QmpClient } from '../qmp.ts'
import type { ResolvedCard } from './options.ts'
import type { Forward, NetworkCard } from './types.ts'

/** One card, by its index in the options. */
export class Card implements NetworkCard {
  readonly kind: NetworkCard['kind']
  /** As asked for; once the guest is started, with the ports that QEMU took. */
  forwards: readonly Forward[]
  readonly #qmp: QmpClient
  readonly #device: string

  constructor(qmp: QmpClient, { kind, forwards }: ResolvedCard, index: number) {
    this.kind = kind
    this.forwards = forwards
    this.#qmp = qmp
    this.#device = `card${index}`
  }

  async setLink(up: boolean): Promise<void> {
    await this.#qmp.execute('set_link', { name: this.#device, up })
  }
}
