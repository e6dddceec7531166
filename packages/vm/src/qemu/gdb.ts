/** Where QEMU's debugger server listens. */
import { VmError } from '../errors.ts'
import type { QmpClient } from '../qmp.ts'

/** The TCP port that QEMU bound for `-gdb tcp:127.0.0.1:0`, from `query-chardev`. */
export async function gdbPort(qmp: QmpClient): Promise<number> {
  const devices = (await qmp.execute('query-chardev')) as { label: string; filename: string }[]
  const filename = devices.find(({ label }) => label === 'gdb')?.filename ?? ''
  // As in `disconnected:tcp:127.0.0.1:34567,server=on`.
  const port = /tcp:127\.0\.0\.1:(\d+)/.exec(filename)?.[1]
  if (port === undefined)
    throw new VmError(`QEMU does not say where its debugger server listens: ${filename}`)
  return Number(port)
}
