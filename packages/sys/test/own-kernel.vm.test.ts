// Calls and requests whose effect is a whole machine's, in a guest that has one: modules, quotas, the next kernel, the
// device mapper, the mainboard's clock, a watchdog, the random number generator. The functions that run in the guest close
// what they open by hand: `using` becomes a helper of this module's, which is not there.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { boot, type Vm } from '@pkg/vm/boot'
import { debianKernel } from '@pkg/vm/guest-kernel'
import { basename, dirname } from 'node:path'

const MiB = 1 << 20

let vm: Vm
let kernelImage = ''
beforeAll(async () => {
  const kernel = await debianKernel()
  if (kernel.modulesFolder === undefined) throw new Error(`${kernel.origin} has no modules`)
  kernelImage = `/kernel/${basename(kernel.image)}`
  vm = await boot({
    backend: 'qemu',
    root: 'host',
    modules: ['dm_mod', 'ext4', 'quota_v2', 'watchdog'],
    disks: [
      { name: 'data', sizeBytes: 64 * MiB },
      { name: 'mapped', sizeBytes: 8 * MiB },
    ],
    shares: [
      { host: kernel.modulesFolder, guest: '/modules' },
      { host: dirname(kernel.image), guest: '/kernel' },
    ],
    // An alarm of the clock is told by an interrupt of the machine's; the time is the guest's own from then on.
    qemuArguments: ['-rtc', 'base=2030-01-01T00:00:00'],
    timeoutMs: 240_000,
  })
})
afterAll(() => vm.kill())

describe('modules', () => {
  test('finit_module(), init_module() and delete_module() make network cards and take them away', async () => {
    const found = await vm.run(async () => {
      const { readdirSync, readFileSync } = await import('node:fs')
      const { AT_FDCWD, O_NONBLOCK, O_RDONLY } = await import('@pkg/sys/constants')
      const { openat } = await import('@pkg/sys/fs')
      const { delete_module, finit_module, init_module } = await import('@pkg/sys/module')
      const path = '/modules/kernel/drivers/net/dummy.ko'
      const cards = (): string =>
        readdirSync('/sys/class/net')
          .filter((name) => name.startsWith('dummy'))
          .toSorted()
          .join()
      const code = (action: () => void): unknown => {
        try {
          return action() ?? 'none'
        } catch (error) {
          return (error as { code?: string }).code
        }
      }
      const file = openat(AT_FDCWD, path, O_RDONLY)
      finit_module(file, 'numdummies=2')
      const both = [cards(), code(() => finit_module(file)), code(() => init_module(readFileSync(path)))]
      file.close()
      delete_module('dummy', O_NONBLOCK)
      const none = [cards(), code(() => delete_module('dummy', O_NONBLOCK))]
      init_module(readFileSync(path), 'numdummies=1')
      const one = [cards(), code(() => init_module(new Uint8Array(100)))]
      delete_module('dummy', O_NONBLOCK)
      return [...both, ...none, ...one]
    })
    expect(found).toEqual(['dummy0,dummy1', 'EEXIST', 'EEXIST', '', 'ENOENT', 'dummy0', 'ENOEXEC'])
  })
})

describe('a file system', () => {
  let disk = ''
  beforeAll(async () => {
    disk = await vm.device('data')
    await vm.exec('mkfs.ext4', ['-q', '-b', '4096', '-O', 'quota', disk, '8192'])
    await vm.run(async (device) => {
      const { mkdirSync } = await import('node:fs')
      const { mount } = await import('@pkg/sys/mount')
      mkdirSync('/data', { mode: 0o777 })
      mount(device, '/data', 'ext4')
    }, disk)
  })

  /** Writes up to so many KiB as user 1000, without the capability that quotas do not hold for. */
  const fill = (kib: number): Promise<unknown> =>
    vm.run(async (count) => {
      const { AT_FDCWD, CAP_SYS_RESOURCE, O_CREAT, O_TRUNC, O_WRONLY } = await import('@pkg/sys/constants')
      const { capabilitySet, capget, capset } = await import('@pkg/sys/capability')
      const { fchown, openat } = await import('@pkg/sys/fs')
      const { write } = await import('@pkg/sys/io')
      const file = openat(AT_FDCWD, '/data/own', O_WRONLY | O_CREAT | O_TRUNC, 0o600)
      fchown(file, 1000, 1000)
      const all = capget()
      capset({ ...all, effective: all.effective & ~capabilitySet(CAP_SYS_RESOURCE) })
      let written = 0
      try {
        while (written < count && write(file, new Uint8Array(1024)) === 1024) written++
        return written
      } catch (error) {
        return `${written}: ${(error as { code?: string }).code}`
      } finally {
        capset(all)
        file.close()
      }
    }, kib)

  test('quotactl_setquota() limits a user, quotactl_getquota() says what he has: what quotactl_quotaon() enforces', async () => {
    const limited = await vm.run(async (device) => {
      const { AT_FDCWD, O_RDONLY, USRQUOTA } = await import('@pkg/sys/constants')
      const { openat } = await import('@pkg/sys/fs')
      const { quotactl_getinfo, quotactl_quotaon, quotactl_setquota } = await import('@pkg/sys/quota')
      const QFMT_VFS_V1 = 4
      quotactl_quotaon(device, USRQUOTA, QFMT_VFS_V1, null)
      const folder = openat(AT_FDCWD, '/data', O_RDONLY)
      const none = { dqb_ihardlimit: 0n, dqb_isoftlimit: 0n, dqb_bsoftlimit: 0n }
      quotactl_setquota(folder, USRQUOTA, 1000, { ...none, dqb_bhardlimit: 1024n })
      folder.close()
      return quotactl_getinfo(device, USRQUOTA)
    }, disk)
    const week = 7n * 86_400n
    expect(limited).toEqual({ blockGraceS: week, inodeGraceS: week })
    expect(await fill(512)).toBe(512)
    expect(await fill(2048)).toBe('1024: EDQUOT')
    const [used, unlimited] = await vm.run(async (device) => {
      const { AT_FDCWD, O_RDONLY, USRQUOTA } = await import('@pkg/sys/constants')
      const { openat } = await import('@pkg/sys/fs')
      const { quotactl_getquota, quotactl_quotaoff, quotactl_sync } = await import('@pkg/sys/quota')
      quotactl_sync(device, USRQUOTA)
      const folder = openat(AT_FDCWD, '/data', O_RDONLY)
      const quota = quotactl_getquota(folder, USRQUOTA, 1000)
      const { dqb_bhardlimit } = quotactl_getquota(folder, USRQUOTA, 0)
      quotactl_quotaoff(device, USRQUOTA)
      folder.close()
      return [quota, dqb_bhardlimit] as const
    }, disk)
    expect(used).toMatchObject({ dqb_bhardlimit: 1024n, dqb_curspace: 1024n * 1024n, dqb_curinodes: 1n })
    expect(unlimited).toBe(0n)
    expect(await fill(2048)).toBe(2048)
  })

  test('ioctl_ext4_ioc_resize_fs() makes it as large as its disk', async () => {
    const blocks = await vm.run(async () => {
      const { AT_FDCWD, O_RDONLY } = await import('@pkg/sys/constants')
      const { ioctl_ext4_ioc_resize_fs } = await import('@pkg/sys/file-control')
      const { openat, statfs } = await import('@pkg/sys/fs')
      const count = (): number => Number(statfs('/data').f_blocks)
      const folder = openat(AT_FDCWD, '/data', O_RDONLY)
      const before = count()
      ioctl_ext4_ioc_resize_fs(folder, 16_384)
      folder.close()
      return [before, count()]
    })
    expect(blocks[0]).toBeLessThan(8192)
    expect(blocks[1]).toBeGreaterThan(12_000)
  })
})

describe('a mapped device', () => {
  test('ioctl_dm_dev_create(), ioctl_dm_table_load() and ioctl_dm_dev_suspend() make it of a disk and errors', async () => {
    const found = await vm.run(
      async (disk) => {
        const c = await import('@pkg/sys/constants')
        const dm = await import('@pkg/sys/device-mapper')
        const { openat } = await import('@pkg/sys/fs')
        const { fsync, pread64, pwrite64 } = await import('@pkg/sys/io')
        const code = (action: () => unknown): unknown => {
          try {
            return action() ?? 'none'
          } catch (error) {
            return (error as { code?: string }).code
          }
        }
        const control = openat(c.AT_FDCWD, '/dev/mapper/control', c.O_RDWR)
        const { dev } = dm.ioctl_dm_dev_create(control, 'solo', 'SOLO-1')
        const linear = { sector_start: 0, length: 8, target_type: 'linear', params: `${disk} 16` }
        const error = { sector_start: 8, length: 8, target_type: 'error', params: '' }
        const refused = code(() => dm.ioctl_dm_table_load(control, 'solo', [{ ...linear, params: 'no' }]))
        dm.ioctl_dm_table_load(control, 'solo', [linear, error])
        dm.ioctl_dm_dev_suspend(control, 'solo', false)
        const below = openat(c.AT_FDCWD, disk, c.O_RDWR)
        pwrite64(below, new Uint8Array(4096).fill(0x5a), 16 * 512)
        fsync(below)
        const above = openat(c.AT_FDCWD, `/dev/dm-${Number(dev & 0xffn)}`, c.O_RDONLY)
        const buffer = new Uint8Array(4096)
        const size = pread64(above, buffer, 0)
        const beyond = code(() => pread64(above, buffer, 4096))
        const busy = code(() => dm.ioctl_dm_dev_remove(control, 'solo'))
        for (const file of [above, below, control]) file.close()
        return { refused, size, last: buffer[4095], beyond, busy }
      },
      await vm.device('mapped'),
    )
    expect(found).toEqual({ refused: 'EINVAL', size: 4096, last: 0x5a, beyond: 'EIO', busy: 'EBUSY' })
  })

  test('ioctl_dm_table_status(), ioctl_dm_list_devices() and ioctl_dm_dev_remove() show it and take it away', async () => {
    const found = await vm.run(async () => {
      const c = await import('@pkg/sys/constants')
      const dm = await import('@pkg/sys/device-mapper')
      const { openat } = await import('@pkg/sys/fs')
      const control = openat(c.AT_FDCWD, '/dev/mapper/control', c.O_RDWR)
      const { uuid, target_count, flags } = dm.ioctl_dm_dev_status(control, 'solo')
      const table = dm.ioctl_dm_table_status(control, 'solo', c.DM_STATUS_TABLE_FLAG)
      const named = dm.ioctl_dm_list_devices(control).map(({ name }) => name)
      dm.ioctl_dm_dev_suspend(control, 'solo', true)
      const isSuspended = (dm.ioctl_dm_dev_status(control, 'solo').flags & c.DM_SUSPEND_FLAG) !== 0
      dm.ioctl_dm_dev_suspend(control, 'solo', false)
      dm.ioctl_dm_dev_remove(control, 'solo')
      const left = dm.ioctl_dm_list_devices(control)
      const [major] = dm.ioctl_dm_version(control)
      control.close()
      const isPresent = (flags & c.DM_ACTIVE_PRESENT_FLAG) !== 0
      return { uuid, target_count, isPresent, table, named, isSuspended, left, major }
    })
    expect(found).toEqual({
      uuid: 'SOLO-1',
      target_count: 2,
      isPresent: true,
      table: [
        { sector_start: 0, length: 8, target_type: 'linear', params: expect.stringMatching(/^\d+:\d+ 16$/) },
        { sector_start: 8, length: 8, target_type: 'error', params: '' },
      ],
      named: ['solo'],
      isSuspended: true,
      left: [],
      major: 4,
    })
  })
})

test('ioctl_rtc_set_time(), ioctl_rtc_rd_time() and ioctl_rtc_wkalm_set() set and read the clock, and wake by it', async () => {
  const found = await vm.run(async () => {
    const { AT_FDCWD, O_RDONLY } = await import('@pkg/sys/constants')
    const { openat } = await import('@pkg/sys/fs')
    const { reactor } = await import('@pkg/sys/reactor')
    const rtc = await import('@pkg/sys/rtc')
    const clock = openat(AT_FDCWD, '/dev/rtc0', O_RDONLY)
    const before = rtc.ioctl_rtc_rd_time(clock)
    rtc.ioctl_rtc_set_time(clock, {
      tm_sec: 57,
      tm_min: 59,
      tm_hour: 23,
      tm_mday: 28,
      tm_mon: 1,
      tm_year: 132,
    })
    const leap = { tm_sec: 1, tm_min: 0, tm_hour: 0, tm_mday: 29, tm_mon: 1, tm_year: 132 }
    rtc.ioctl_rtc_wkalm_set(clock, leap)
    const alarm = rtc.ioctl_rtc_wkalm_rd(clock)
    await reactor().readable(clock, { signal: AbortSignal.timeout(30_000) })
    const after = rtc.ioctl_rtc_rd_time(clock)
    rtc.ioctl_rtc_wkalm_set(clock, null)
    const isOff = !rtc.ioctl_rtc_wkalm_rd(clock).enabled
    clock.close()
    return { before, alarm, after, isOff }
  })
  expect(found.before).toMatchObject({ tm_mon: 0, tm_mday: 1, tm_year: 130 })
  expect(found.alarm).toMatchObject({ enabled: true, pending: false, time: { tm_mday: 29, tm_sec: 1 } })
  expect(found.after).toMatchObject({ tm_year: 132, tm_mon: 1, tm_mday: 29, tm_hour: 0, tm_min: 0 })
  expect(found.isOff).toBe(true)
})

test('ioctl_wdioc_settimeout(), ioctl_wdioc_keepalive() and their like have a watchdog wait', async () => {
  const found = await vm.run(async () => {
    const c = await import('@pkg/sys/constants')
    const { openat } = await import('@pkg/sys/fs')
    const { write } = await import('@pkg/sys/io')
    const { finit_module } = await import('@pkg/sys/module')
    const watchdog = await import('@pkg/sys/watchdog')
    const file = openat(c.AT_FDCWD, '/modules/kernel/drivers/watchdog/softdog.ko', c.O_RDONLY)
    finit_module(file, 'soft_margin=30')
    file.close()
    const fd = openat(c.AT_FDCWD, '/dev/watchdog', c.O_WRONLY)
    const { identity, options } = watchdog.ioctl_wdioc_getsupport(fd)
    const given = watchdog.ioctl_wdioc_gettimeout(fd)
    const set = watchdog.ioctl_wdioc_settimeout(fd, 3)
    // Without a word the machine is gone after three seconds.
    for (let second = 0; second < 4; second++) {
      await Bun.sleep(1000)
      watchdog.ioctl_wdioc_keepalive(fd)
    }
    watchdog.ioctl_wdioc_setoptions(fd, c.WDIOS_DISABLECARD)
    await Bun.sleep(3500)
    let left: unknown
    try {
      left = watchdog.ioctl_wdioc_gettimeleft(fd)
    } catch (error) {
      left = (error as { code?: string }).code
    }
    const bootstatus = watchdog.ioctl_wdioc_getbootstatus(fd)
    write(fd, new TextEncoder().encode('V'))
    fd.close()
    const canBeSet = (options & c.WDIOF_SETTIMEOUT) !== 0
    return { identity, canBeSet, given, set, left, bootstatus }
  })
  expect(found).toMatchObject({
    identity: 'Software Watchdog',
    canBeSet: true,
    given: 30,
    set: 3,
    // It does not tell.
    left: 'EOPNOTSUPP',
    bootstatus: 0,
  })
})

test('ioctl_rndaddentropy(), ioctl_rndgetentcnt() and ioctl_rndreseedcrng() give the kernel a seed', async () => {
  const found = await vm.run(async () => {
    const { AT_FDCWD, O_RDONLY, O_WRONLY } = await import('@pkg/sys/constants')
    const { openat } = await import('@pkg/sys/fs')
    const { ioctl_rndaddentropy, ioctl_rndgetentcnt, ioctl_rndreseedcrng } = await import('@pkg/sys/random')
    const device = openat(AT_FDCWD, '/dev/urandom', O_WRONLY)
    const other = openat(AT_FDCWD, '/proc/self/comm', O_RDONLY)
    ioctl_rndaddentropy(device, crypto.getRandomValues(new Uint8Array(32)), 256)
    ioctl_rndreseedcrng(device)
    const code = (action: () => unknown): unknown => {
      try {
        return action() ?? 'none'
      } catch (error) {
        return (error as { code?: string }).code ?? (error as Error).name
      }
    }
    const results = [
      ioctl_rndgetentcnt(device),
      code(() => ioctl_rndaddentropy(device, new Uint8Array(1), 9)),
      code(() => ioctl_rndaddentropy(device, new Uint8Array(1), -1)),
      code(() => ioctl_rndreseedcrng(other)),
    ]
    device.close()
    other.close()
    return results
  })
  expect(found).toEqual([256, 'RangeError', 'EINVAL', 'ENOTTY'])
})

// Last, for the machine is another one afterwards.
test('kexec_file_load() has reboot() start a kernel', async () => {
  const loaded = await vm.run(async (image) => {
    const { readFileSync } = await import('node:fs')
    const { AT_FDCWD, KEXEC_FILE_UNLOAD, O_RDONLY } = await import('@pkg/sys/constants')
    const { openat } = await import('@pkg/sys/fs')
    const { kexec_file_load } = await import('@pkg/sys/reboot')
    const isLoaded = (): string => readFileSync('/sys/kernel/kexec_loaded', 'utf8').trim()
    const kernel = openat(AT_FDCWD, image, O_RDONLY)
    const states = [isLoaded()]
    kexec_file_load(kernel, null, 'solo=first')
    states.push(isLoaded())
    kexec_file_load(kernel, null, '', KEXEC_FILE_UNLOAD)
    states.push(isLoaded())
    kexec_file_load(kernel, null, 'console=ttyS0 panic=-1 solo=second')
    states.push(isLoaded())
    kernel.close()
    return states
  }, kernelImage)
  expect(loaded).toEqual(['0', '1', '0', '1'])
  const begun = vm.console.waitFor(/Command line: .*solo=second/, { timeoutMs: 60_000 })
  const ended = vm.run(async () => {
    const { LINUX_REBOOT_CMD_KEXEC } = await import('@pkg/sys/constants')
    const { reboot } = await import('@pkg/sys/reboot')
    reboot(LINUX_REBOOT_CMD_KEXEC)
  })
  await expect(ended).rejects.toThrow()
  await begun
})
