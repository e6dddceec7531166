// The frequency that a guest of ours measured, and that its kernel is told.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { qemuCommandLine } from '../src/qemu/command-line.ts'
import { resolveOptions } from '../src/qemu/options.ts'
import { frequencyKhz } from '../src/tcg/tsc.ts'

/** Samples a millisecond apart, as the guest writes them. */
function samples(khz: number, counter: bigint, timer: number, widths: readonly number[]): Buffer {
  return Buffer.concat(
    widths.map((width, index) => {
      const sample = Buffer.alloc(16)
      const start = counter + BigInt(Math.round(khz * index - width / 2))
      sample.writeBigUInt64LE(start)
      sample.writeUInt32LE((timer + Math.round(3_579.545 * index)) % 2 ** 24, 8)
      sample.writeUInt32LE(Number((start + BigInt(width)) & 0xffff_ffffn), 12)
      return sample
    }),
  )
}

test('frequencyKhz() finds the frequency, wherever both counters begin', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 800_000, max: 6_000_000 }),
      fc.bigInt({ min: 2n ** 24n, max: 2n ** 52n }),
      fc.nat({ max: 2 ** 24 - 1 }),
      fc.array(fc.integer({ min: 100, max: 1_000 }), { minLength: 200, maxLength: 300 }),
      (khz, counter, timer, widths) => {
        const found = frequencyKhz(samples(khz, counter, timer, widths)) ?? 0
        // A tick of the timer is 0.28 µs; the time between first and last third is 66 ms and more.
        expect(Math.abs(found - khz) / khz).toBeLessThan(1e-5)
      },
    ),
    { seed: 20_261_124 },
  )
})

test('frequencyKhz() passes over samples during which the host did something else', () => {
  const widths = Array.from({ length: 200 }, (_, index) => (index % 50 === 7 ? 300 : 40_000_000))
  const found = frequencyKhz(samples(2_600_000, 2n ** 40n, 0, widths)) ?? 0
  expect(Math.abs(found - 2_600_000)).toBeLessThan(30)
})

test('frequencyKhz() says nothing of a timer that stands still, or of too few samples', () => {
  const still = Buffer.concat(Array.from({ length: 100 }, () => samples(2_600_000, 2n ** 40n, 0, [300])))
  expect(frequencyKhz(still)).toBeUndefined()
  expect(frequencyKhz(samples(2_600_000, 1_000n, 0, [300, 300, 300]))).toBeUndefined()
})

test('qemuCommandLine() tells the kernel before the words of the caller', () => {
  const options = resolveOptions({ kernel: process.execPath, append: 'quiet', machine: 'microvm' })
  const { args } = qemuCommandLine(options, 'tcg', { tscKhz: 2_596_149 })
  expect(args).toContain('console=ttyS0 panic=-1 tsc_early_khz=2596149 quiet')
})
