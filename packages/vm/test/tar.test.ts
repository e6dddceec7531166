import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readTar } from '../src/apt/tar.ts'

test('readTar() reads its input to the end, padding too: a program whose pipe stays full does not end', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'solo-tar-'))
  try {
    writeFileSync(join(folder, 'file'), 'content')
    // A record of 20 blocks of 512 bytes, as dpkg-deb makes them; GNU tar fills it with zeros.
    const bytes = execFileSync('tar', ['--create', '--blocking-factor=20', '--directory', folder, 'file'])
    expect(bytes.length).toBe(10_240)
    let givenBytes = 0
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (; givenBytes < bytes.length; givenBytes += 512) yield bytes.subarray(givenBytes, givenBytes + 512)
    }
    const names: string[] = []
    for await (const { name } of readTar(pieces())) names.push(name)
    expect(names).toEqual(['file'])
    expect(givenBytes).toBe(bytes.length)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
