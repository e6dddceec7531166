/** What a guest's CPUs are doing, read off QEMU's `info registers -a`. */

/**
 * In a few words: `cpu 0: halted, interrupts off at ffffffff81000000`.
 *
 * x86: RFL bit 9 is the interrupt flag (Intel SDM vol. 1, 3.4.3). aarch64 tells only where: QEMU prints neither the
 * interrupt mask nor whether the CPU waits.
 */
export function describeCpus(registers: string): string {
  const cpus = registers.split(/^CPU#/m).slice(1)
  const words = cpus.map((text, index) => {
    const address = /[RE]IP=([0-9a-f]+)/.exec(text)?.[1]
    if (address === undefined) {
      const counter = /\bPC=([0-9a-f]+)/.exec(text)?.[1]
      return counter === undefined ? '' : `cpu ${index}: at ${counter}`
    }
    const flags = Number.parseInt(/[RE]FL=([0-9a-f]+)/.exec(text)?.[1] ?? '', 16)
    const halted = /HLT=1/.test(text) ? 'halted' : 'running'
    const interrupts = (flags & 0x200) === 0 ? ', interrupts off' : ''
    return `cpu ${index}: ${halted}${interrupts} at ${address}`
  })
  return words.filter((word) => word !== '').join('; ')
}
