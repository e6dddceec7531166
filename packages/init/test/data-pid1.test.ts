/** The real PID 1 over a real ext4 file system, from release to release and back. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startPid1, type Pid1 } from './namespace/pid1.ts'
import { Client } from './support/control-client.ts'

const WEB = '/var/lib/web'

/** A machine's data partition, which outlives its boots. */
class Machine implements Disposable {
  readonly #folder = mkdtempSync('/var/tmp/solo-data-')
  readonly #image = join(this.#folder, 'var-lib.img')

  constructor() {
    execFileSync('mke2fs', ['-q', '-t', 'ext4', this.#image, '64M'])
  }

  /** Boots a release: its code for this version of data, and what it says of them. */
  boot(version: number, data: object = {}, service: object = {}): Pid1 {
    const code = `read -r format < ${WEB}/book || format=${version}
      [ "$format" = ${version} ] || { echo "unreadable: format $format"; exit 1; }
      echo "book: $(tr '\\n' ' ' < ${WEB}/book)"
      [ -e ${WEB}/book ] || echo ${version} > ${WEB}/book
      echo "line of ${version}" >> ${WEB}/book; echo written; exec sleep 60`
    const web = {
      ...{ name: 'web', command: ['/bin/sh', '-c', code], uid: 4321, gid: 4321, restart: 'never' },
      data: { version, folders: [WEB], ...data },
      ...service,
    }
    const folders = [{ path: WEB, uid: 4321, gid: 4321, mode: 0o750 }]
    const before = `mount -o loop ${this.#image} /var/lib && mkdir -p ${WEB} && chown 4321:4321 ${WEB}`
    return startPid1([web], { folders, control: { gid: process.getgid?.() ?? 0 } }, [], [], before)
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }
}

/** A migration by a line of shell. */
const migrating = (script: string, timeoutMs = 10_000): object => {
  return { migrate: { command: ['/bin/sh', '-c', script], timeoutMs } }
}

const FIRST_LINE = `echo "hook of user $(id -u) from $SOLO_DATA_FROM to $SOLO_DATA_TO"; cd ${WEB}
  echo half > half; sed -i "1s/.*/$SOLO_DATA_TO/" book`

async function end(pid1: Pid1): Promise<void> {
  pid1.tell('kill -TERM 1')
  await pid1.ended
}

test('PID 1 migrates data as their user, and puts them back for the release before', async () => {
  using machine = new Machine()
  {
    await using first = machine.boot(1)
    await first.waitFor(/web: written$/)
    await end(first)
  }
  {
    await using second = machine.boot(2, migrating(`${FIRST_LINE}; sleep 77 & exit 0`))
    await second.waitFor(/web: a snapshot of its data of version 1 was made: 0\.0 MiB$/)
    await second.waitFor(/web: hook of user 4321 from 1 to 2$/)
    await second.waitFor(/web: book: 2 line of 1 $/)
    await second.waitFor(/web: written$/)
    second.tell('echo "left: $(pgrep -fxc "sleep 77")"; cat /var/lib/solo/data/web.json')
    await second.waitFor(/driver: left: 0$/)
    await second.waitFor(/driver: {3}"version": 2,$/)
    await end(second)
  }
  {
    await using back = machine.boot(1)
    await back.waitFor(
      /init: web: its data are those of the snapshot of version 1 again; the newer ones are in .*set-aside-from-2$/,
    )
    await back.waitFor(/web: book: 1 line of 1 $/)
    back.tell(`stat -c "%U %u %a %n" ${WEB} ${WEB}/*; cat /var/lib/solo/snapshots/web/*/0/book`)
    await back.waitFor(/driver: \S+ 4321 755 \/var\/lib\/web$/)
    await back.waitFor(/driver: line of 2$/)
    await end(back)
    expect(back.lines.some((line) => /unreadable/.test(line))).toBe(false)
  }
})

test.each([
  ['exit 3', 10_000, 'has failed: exited with status 3'],
  ['trap "" TERM; sleep 88 & wait', 300, 'was not done within 300 ms'],
])(
  'PID 1 withholds a service whose migration fails: %s',
  async (ending, timeoutMs, reason) => {
    using machine = new Machine()
    {
      await using first = machine.boot(1)
      await first.waitFor(/web: written$/)
      await end(first)
    }
    {
      await using second = machine.boot(2, migrating(`${FIRST_LINE}; ${ending}`, timeoutMs))
      expect(await second.waitFor(/init: web: failed: the migration of its data/)).toContain(reason)
      await second.waitFor(/init: ready in .* 1 failed \(web: the migration of its data from version 1 to 2 /)
      second.tell(`echo "left: $(pgrep -fxc "sleep 88")"`)
      await second.waitFor(/driver: left: 0$/)
      expect(second.lines.some((line) => / web: book/.test(line))).toBe(false)
      await end(second)
    }
    {
      // The same release again, with a hook that works: from the snapshot, not from the half.
      await using again = machine.boot(2, migrating(`ls ${WEB}; ${FIRST_LINE}`))
      await again.waitFor(
        /init: web: its data are those of the snapshot of version 1 again: a migration was not finished$/,
      )
      await again.waitFor(/web: book: 2 line of 1 $/)
      expect(again.lines.filter((line) => / web: half$/.test(line))).toEqual([])
      await end(again)
    }
  },
  60_000,
)

test('PID 1 migrates without a snapshot what the release before can read', async () => {
  using machine = new Machine()
  {
    await using first = machine.boot(1)
    await first.waitFor(/web: written$/)
    await end(first)
  }
  const compatible = { readableBy: 1, ...migrating('echo "hook $SOLO_DATA_FROM $SOLO_DATA_TO"') }
  {
    await using second = machine.boot(1, { version: 2, ...compatible })
    await second.waitFor(/web: hook 1 2$/)
    await second.waitFor(/web: written$/)
    second.tell('ls /var/lib/solo; echo listed')
    await second.waitFor(/driver: listed$/)
    expect(second.lines.some((line) => / driver: snapshots$/.test(line))).toBe(false)
    await end(second)
  }
  await using back = machine.boot(1)
  await back.waitFor(/web: book: 1 line of 1 line of 1 $/)
  await end(back)
})

test('PID 1 does not start a service on data that it cannot read, and says so to who asks for it', async () => {
  using machine = new Machine()
  {
    await using second = machine.boot(2)
    await second.waitFor(/web: written$/)
    await end(second)
  }
  await using first = machine.boot(1)
  await first.waitFor(/init: web: failed: its data are of version 2, which code for version 1 cannot read/)
  using client = new Client(first.run)
  expect(await client.ask({ type: 'start', service: 'web' })).toEqual({
    ok: false,
    error: expect.stringContaining('web must not be started: its data are of version 2'),
  })
  await end(first)
})
