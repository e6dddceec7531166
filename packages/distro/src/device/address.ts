// How a device is named on the command line.

/** The agent's port unless another is given. */
const DEFAULT_PORT = 8443

/** Where a device is. */
export interface DeviceAddress {
  /** Name or address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  /** Both, as in a URL. */
  readonly text: string
}

/**
 * Reads `host`, `host:port`, `[address]:port` or a URL of the agent.
 *
 * @throws SyntaxError it is none of them
 */
export function parseDevice(text: string): DeviceAddress {
  const wrong = new SyntaxError(`expected HOST or HOST:PORT of a device, got ${JSON.stringify(text)}`)
  // URL leaves the scheme's own port out; this one has none.
  const url = URL.parse(`solo://${text.replace(/^https:\/\//, '').replace(/\/$/, '')}`)
  if (url === null || url.hostname === '' || url.pathname !== '' || url.username !== '' || url.search !== '')
    throw wrong
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  const { hostname } = url
  if (!/^([\w.-]+|\[[0-9a-fA-F:.]+\])$/.test(hostname)) throw wrong
  return { host: hostname.replace(/^\[|\]$/g, ''), port, text: `${hostname}:${port}` }
}
