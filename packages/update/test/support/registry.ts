// Debian's docker-registry on this machine.
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

/** A registry that runs until it is disposed of. */
export interface Registry extends Disposable {
  readonly port: number
}

/** Starts a registry that keeps what it gets in a folder. */
export async function startRegistry(folder: string): Promise<Registry> {
  const port = await freePort()
  mkdirSync(folder, { recursive: true })
  const config = [
    'version: 0.1',
    `storage: { filesystem: { rootdirectory: ${join(folder, 'storage')} } }`,
    `http: { addr: '127.0.0.1:${port}' }`,
    'log: { level: error }',
  ]
  writeFileSync(join(folder, 'config.yml'), `${config.join('\n')}\n`)
  const daemon = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: 'ignore' })
  for (let tries = 0; !(await answers(port)); tries++) {
    if (tries > 200) throw new Error('docker-registry does not answer')
    await setTimeout(100)
  }
  return { port, [Symbol.dispose]: () => daemon.kill('SIGKILL') }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return port
}

async function answers(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/v2/`)).ok
  } catch {
    return false
  }
}
