import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GuestConsole } from '../src/console.ts'
import { GuestEndedError, GuestTimeoutError } from '../src/errors.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('GuestConsole', () => {
  test('append() gives the same text however the bytes are cut', () => {
    const text = fc.array(fc.constantFrom('a', 'ü', '€', '𝄞', '\r\n', '\n', ' '), { maxLength: 60 })
    fc.assert(
      fc.property(text, fc.array(fc.integer({ min: 1, max: 7 }), { maxLength: 80 }), (parts, cuts) => {
        const whole = bytes(`${parts.join('')}\n`)
        const guestConsole = new GuestConsole()
        let offset = 0
        for (const size of [...cuts, whole.length]) {
          guestConsole.append(whole.subarray(offset, offset + size))
          offset = Math.min(whole.length, offset + size)
        }
        expect(guestConsole.text).toBe(new TextDecoder().decode(whole).replaceAll('\r\n', '\n'))
      }),
    )
  })

  test('keeps no more than limitChars, the newest, and counts what it dropped', () => {
    const guestConsole = new GuestConsole({ limitChars: 10 })
    for (let index = 0; index < 100; index++) guestConsole.append(bytes(String(index % 10)))
    expect(guestConsole.text).toBe('0123456789')
    expect(guestConsole.droppedChars).toBe(90)
    expect(guestConsole.position).toBe(100)
  })

  test('waitFor() finds what one large chunk carried beyond the bound', async () => {
    const guestConsole = new GuestConsole({ limitChars: 10 })
    const found = guestConsole.waitFor(/mark/)
    guestConsole.append(bytes(`mark${'.'.repeat(100)}`))
    await expect(found).resolves.toMatchObject({ 0: 'mark' })
  })

  test('waitFor() sees what was printed before, and with `from` only what comes later', async () => {
    const guestConsole = new GuestConsole()
    guestConsole.append(bytes('login: '))
    await expect(guestConsole.waitFor(/login: /)).resolves.toMatchObject({ index: 0 })
    const again = guestConsole.waitFor(/login: /, { from: guestConsole.position, timeoutMs: 20 })
    await expect(again).rejects.toThrow(GuestTimeoutError)
  })

  test('waitFor() matches over the border of two chunks, with a pattern that has the flag g', async () => {
    const guestConsole = new GuestConsole()
    const pattern = /rea(d)y/g
    pattern.lastIndex = 5
    const found = guestConsole.waitFor(pattern)
    guestConsole.append(bytes('re'))
    guestConsole.append(bytes('ady'))
    expect((await found)[1]).toBe('d')
  })

  test('waitFor() tells pattern, time and last lines when it gives up', async () => {
    const guestConsole = new GuestConsole()
    guestConsole.append(bytes('first\nlast words\n'))
    const error = await guestConsole.waitFor(/ready/, { timeoutMs: 30 }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(GuestTimeoutError)
    expect(error).toMatchObject({ kind: 'wait', timeoutMs: 30, console: 'first\nlast words' })
    expect(String(error)).toContain('waited 0.03 s for /ready/')
    expect(String(error)).toContain('  last words')
  })

  test('waitFor() says that nothing was printed at all', async () => {
    await expect(new GuestConsole().waitFor(/x/, { timeoutMs: 5 })).rejects.toThrow('printed nothing at all')
  })

  test('waitFor() ends with the reason of an aborted signal', async () => {
    const guestConsole = new GuestConsole()
    const controller = new AbortController()
    const waiting = guestConsole.waitFor(/x/, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await expect(guestConsole.waitFor(/x/, { signal: controller.signal })).rejects.toThrow('enough')
  })

  test('end() gives its error to those who wait and those who come later, and reports each', async () => {
    const guestConsole = new GuestConsole()
    let met = 0
    guestConsole.append(bytes('printed'))
    const waiting = guestConsole.waitFor(/never/)
    guestConsole.end(new GuestEndedError('gone'), () => met++)
    await expect(waiting).rejects.toThrow('gone')
    await expect(guestConsole.waitFor(/never/)).rejects.toThrow('gone')
    await expect(guestConsole.waitFor(/printed/)).resolves.toBeDefined()
    expect(met).toBe(2)
  })

  test('end() without anybody waiting reports nobody', () => {
    let met = 0
    new GuestConsole().end(new GuestEndedError('gone'), () => met++)
    expect(met).toBe(0)
  })

  test('tail() gives the last lines without anything that moves a cursor', () => {
    const guestConsole = new GuestConsole()
    guestConsole.append(bytes('one\n\u001b[2J\u001b[31mtwo\u001b[0m\u0007\nthree\n\n'))
    expect(guestConsole.tail(2)).toBe('two\nthree')
    expect(guestConsole.tail()).toBe('one\ntwo\nthree')
  })

  test('write() carries text to the guest, and throws where there is no way in', () => {
    const written: string[] = []
    new GuestConsole({ write: (text) => written.push(text) }).write('root\n')
    expect(written).toEqual(['root\n'])
    expect(() => new GuestConsole().write('x')).toThrow(TypeError)
  })

  test.each([0, -1, 1.5, Number.NaN])('refuses limitChars %s', (limitChars) => {
    expect(() => new GuestConsole({ limitChars })).toThrow(RangeError)
  })
})
