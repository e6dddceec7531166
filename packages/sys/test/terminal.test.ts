// Terminals beyond their modes: what is on its way, who may open them, their names. On pseudo-terminals.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as c from '../src/constants.ts'
import { ppoll } from '../src/event.ts'
import type { OwnedFd } from '../src/fd.ts'
import { memfd_create, read, setNonBlocking, write } from '../src/io.ts'
import * as structs from '../src/structs.ts'
import * as terminal from '../src/terminal.ts'
import { runScript, scriptResult } from './child-script.ts'

function codeOf(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).name
  }
}
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** A pseudo-terminal whose slave passes bytes as they are, and neither end of which waits. */
function rawTerminal(): terminal.PseudoTerminal {
  const pty = terminal.openpty()
  const termios = terminal.ioctl_tcgets2(pty.slave)
  terminal.makeRaw(termios)
  terminal.ioctl_tcsets2(pty.slave, termios)
  setNonBlocking(pty.master, true)
  setNonBlocking(pty.slave, true)
  return pty
}
/** Writes to the terminal, and waits until it has arrived there: the kernel carries it over by and by. */
function type(pty: terminal.PseudoTerminal, text: string): void {
  write(pty.master, bytes(text))
  arrived(pty.slave)
}
function arrived(end: OwnedFd): void {
  expect(ppoll([{ fd: end, events: c.POLLIN }], 5_000_000_000n)).toEqual([c.POLLIN])
}
const readText = (from: OwnedFd): unknown =>
  codeOf(() => {
    const buffer = new Uint8Array(64)
    return new TextDecoder().decode(buffer.subarray(0, read(from, buffer)))
  })

test('makeRaw() has a read wait for one byte, as cfmakeraw(3) does', () => {
  using pty = terminal.openpty()
  const termios = terminal.ioctl_tcgets2(pty.slave)
  // As a program leaves them that polled.
  termios.get('c_cc')[c.VMIN] = 0
  termios.get('c_cc')[c.VTIME] = 5
  terminal.makeRaw(termios)
  terminal.ioctl_tcsets2(pty.slave, termios)
  const set = terminal.ioctl_tcgets2(pty.slave).get('c_cc')
  expect([set[c.VMIN], set[c.VTIME]]).toEqual([1, 0])
})

test('ioctl_tcsets2() is refused with a struct that is too small', () => {
  using pty = terminal.openpty()
  const small = { layout: structs.termios2, bytes: new Uint8Array(4) } as unknown as terminal.Termios
  for (const call of [terminal.ioctl_tcsets2, terminal.ioctl_tcsetsw2, terminal.ioctl_tcsetsf2])
    expect(() => call(pty.slave, small)).toThrow(TypeError)
})

test('ioctl_tcflsh() and ioctl_tcsetsf2() throw away what was not read', () => {
  using pty = rawTerminal()
  type(pty, 'typed')
  terminal.ioctl_tcflsh(pty.slave, c.TCIFLUSH)
  expect(readText(pty.slave)).toBe('EAGAIN')
  type(pty, 'again')
  terminal.ioctl_tcsetsf2(pty.slave, terminal.ioctl_tcgets2(pty.slave))
  expect(readText(pty.slave)).toBe('EAGAIN')
  type(pty, 'read')
  expect(readText(pty.slave)).toBe('read')
  expect(codeOf(() => terminal.ioctl_tcflsh(pty.slave, 9))).toBe('EINVAL')
})

test('ioctl_tcxonc() stops output, and sends the characters that stop the other end', () => {
  using pty = rawTerminal()
  terminal.ioctl_tcxonc(pty.slave, c.TCOOFF)
  expect(codeOf(() => write(pty.slave, bytes('held')))).toBe('EAGAIN')
  terminal.ioctl_tcxonc(pty.slave, c.TCOON)
  expect(write(pty.slave, bytes('free'))).toBe(4)
  arrived(pty.master)
  expect(readText(pty.master)).toBe('free')
  terminal.ioctl_tcxonc(pty.slave, c.TCIOFF)
  arrived(pty.master)
  expect(readText(pty.master)).toBe('\x13') // ^S
  terminal.ioctl_tcxonc(pty.slave, c.TCION)
  arrived(pty.master)
  expect(readText(pty.master)).toBe('\x11') // ^Q
})

test('ioctl_tcsbrk() and ioctl_tcsbrkp() ask for what tcdrain(3) and tcsendbreak(3) ask for', () => {
  // A pseudo-terminal has no line on which a break could be seen: strace says what the kernel was asked for.
  const folder = mkdtempSync(join(tmpdir(), 'solo-terminal-'))
  const log = join(folder, 'log')
  const { status, stderr } = runScript(
    `
    import * as t from '@pkg/sys/terminal'
    using pty = t.openpty()
    t.ioctl_tcsbrk(pty.slave, 1)
    t.ioctl_tcsbrk(pty.slave, 0)
    t.ioctl_tcsbrkp(pty.slave, 3)`,
    { wrapper: ['strace', '-qq', '-e', 'trace=ioctl', '-o', log] },
  )
  expect(status, stderr).toBe(0)
  const asked = [...readFileSync(log, 'utf8').matchAll(/(TCSBRKP?, \d+)\)\s+= (\S+)/g)]
  rmSync(folder, { recursive: true })
  expect(asked.map(([, call, result]) => [call, result])).toEqual([
    ['TCSBRK, 1', '0'],
    ['TCSBRK, 0', '0'],
    ['TCSBRKP, 3', '0'],
  ])
  using file = memfd_create('none', 0)
  expect(codeOf(() => terminal.ioctl_tcsbrk(file, 1))).toBe('ENOTTY')
  expect(codeOf(() => terminal.ioctl_tcsbrkp(file, 1))).toBe('ENOTTY')
})

test('ioctl_tiocexcl(), ioctl_tiocgexcl() and ioctl_tiocnxcl(): who may open a terminal', () => {
  const result = scriptResult(`
    import { openSync, closeSync } from 'node:fs'
    import * as t from '@pkg/sys/terminal'
    import { CAP_SYS_ADMIN } from '@pkg/sys/constants'
    import { capabilitySet, capget, capset } from '@pkg/sys/capability'
    const sets = capget()
    capset({ ...sets, effective: sets.effective & ~capabilitySet(CAP_SYS_ADMIN) })
    using pty = t.openpty()
    const open = () => { try { closeSync(openSync(pty.path, 'r+')); return 'done' } catch (error) { return error.code } }
    const found = [open(), t.ioctl_tiocgexcl(pty.slave)]
    t.ioctl_tiocexcl(pty.slave)
    found.push(open(), t.ioctl_tiocgexcl(pty.slave))
    t.ioctl_tiocnxcl(pty.slave)
    process.stdout.write(JSON.stringify([...found, open(), t.ioctl_tiocgexcl(pty.slave)]))`)
  expect(result).toEqual(['done', false, 'EBUSY', true, 'done', false])
})

test('isatty() and ttyname() know terminals and their names', () => {
  using pty = terminal.openpty()
  expect([terminal.isatty(pty.slave), terminal.isatty(pty.master)]).toEqual([true, true])
  expect(terminal.ttyname(pty.slave)).toBe(pty.path)
  using file = memfd_create('none', 0)
  expect(terminal.isatty(file)).toBe(false)
  expect(codeOf(() => terminal.isatty(9999))).toBe('EBADF')
  expect(codeOf(() => terminal.ttyname(file))).toBe('ENOTTY')
  // A name that leads to another file now: of another namespace.
  const result = scriptResult(
    `
    import { mount } from '@pkg/sys/mount'
    import { openpty, ttyname } from '@pkg/sys/terminal'
    using pty = openpty()
    mount('none', '/dev/pts', 'tmpfs')
    let code; try { ttyname(pty.slave) } catch (error) { code = error.code }
    process.stdout.write(JSON.stringify(code))`,
    { wrapper: ['unshare', '-rm', '--propagation', 'private'] },
  )
  expect(result).toBe('ENODEV')
})
