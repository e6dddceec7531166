// Getting at a device: which certificate is trusted, and with which key one logs in.
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { kindOf } from '@pkg/vm/host'
import { SoloError } from '../error.ts'
import type { DeviceAddress } from './address.ts'
import { certificateOf } from './certificate.ts'
import { DeviceClient } from './client.ts'
import { knownDevicesFile, knownFingerprint, rememberDevice } from './known-devices.ts'

/** How long a device may take to show its certificate. */
const CONNECT_MS = 15_000

/** How the user wants to get at it. */
export interface ConnectOptions {
  /** Path of an SSH key, or of a public one whose private half an agent or a token holds. Default: see {@link chooseKey}. */
  readonly key?: string
  /** The fingerprint that the device must have; it is remembered then. */
  readonly fingerprint?: string
}

/**
 * Connects to a device that is known, or that the user says yes to. Logging in waits for the first request.
 *
 * @throws SoloError it cannot be reached, is not trusted, or there is no key
 */
export async function connectDevice(address: DeviceAddress, options: ConnectOptions): Promise<DeviceClient> {
  const key = await chooseKey(options.key)
  const certificate = await certificateOf(address, CONNECT_MS)
  await trust(address.text, certificate.fingerprint, options.fingerprint)
  return new DeviceClient(address, certificate, key)
}

async function trust(device: string, found: string, expected: string | undefined): Promise<void> {
  const file = knownDevicesFile()
  if (expected !== undefined) {
    if (expected !== found) throw otherCertificate(device, found, `expected ${expected}`)
    return await rememberDevice(file, device, found)
  }
  const known = await knownFingerprint(file, device)
  if (known === found) return
  if (known !== undefined) throw otherCertificate(device, found, `${file} has ${known}`)
  if (process.stdin.isTTY && process.stderr.isTTY) {
    const terminal = createInterface({ input: process.stdin, output: process.stderr })
    const question = `${device} is not known. Its certificate has the SHA-256 fingerprint\n  ${found}\nIs it what the device shows on its console? [y/N] `
    const answer = await terminal.question(question).finally(() => terminal.close())
    if (/^y(es)?$/i.test(answer.trim())) return await rememberDevice(file, device, found)
  }
  throw new SoloError(
    `${device} is not known: compare its fingerprint with what it shows on its console, then give it once with\n` +
      `--fingerprint ${found}`,
  )
}

function otherCertificate(device: string, found: string, instead: string): SoloError {
  return new SoloError(
    `${device} has the certificate ${found}, ${instead}.\nEither it is another machine, or the device was reset; ` +
      `its console shows which. To trust it from now on: --fingerprint ${found}`,
  )
}

/** Keys that ssh-keygen makes unless it is told another name. */
const usualKeys = ['id_ed25519', 'id_ed25519_sk']

/**
 * The key to sign with: the one that is given, else `SOLO_KEY`, else the usual one in ~/.ssh.
 *
 * @throws SoloError there is none
 */
export async function chooseKey(given: string | undefined): Promise<string> {
  const asked = given ?? process.env['SOLO_KEY']
  if (asked !== undefined && asked !== '') {
    if ((await kindOf(asked)) === 'file') return asked
    throw new SoloError(`there is no key ${asked}`, { exitStatus: 2 })
  }
  for (const name of usualKeys) {
    // The private half may be with an agent only.
    for (const path of [join(homedir(), '.ssh', name), join(homedir(), '.ssh', `${name}.pub`)]) {
      if ((await kindOf(path)) === 'file') return path
    }
  }
  throw new SoloError(
    `there is no SSH key in ~/.ssh (${usualKeys.join(', ')}): name one with --key or SOLO_KEY; the .pub file of a key ` +
      'that ssh-agent holds will do',
    { exitStatus: 2 },
  )
}
