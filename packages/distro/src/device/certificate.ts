// The certificate that a device shows, before anything is said to it.
import { connect } from 'node:tls'
import { SoloError } from '../error.ts'
import type { DeviceAddress } from './address.ts'

/** A certificate. */
export interface DeviceCertificate {
  /** SHA-256, as `AB:CD:…`. */
  readonly fingerprint: string
  /** As PEM. */
  readonly pem: string
}

/**
 * Connects and looks at the certificate; nothing is sent, and nobody is trusted yet.
 *
 * @throws SoloError the device cannot be reached, or does not speak TLS
 */
export async function certificateOf(
  { host, port, text }: DeviceAddress,
  limitMs: number,
): Promise<DeviceCertificate> {
  const { promise, resolve, reject } = Promise.withResolvers<DeviceCertificate>()
  const socket = connect({ host, port, rejectUnauthorized: false }, () => {
    const { fingerprint256, raw } = socket.getPeerCertificate()
    const lines = raw.toString('base64').match(/.{1,64}/g) ?? []
    const pem = ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
    resolve({ fingerprint: fingerprint256, pem })
  })
  socket.on('error', reject)
  const timer = setTimeout(() => reject(new Error(`no answer within ${limitMs / 1000} s`)), limitMs)
  try {
    return await promise
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new SoloError(`${text}: the device's agent cannot be reached: ${why}`, { cause })
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}
