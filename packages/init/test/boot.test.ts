import { EV_KEY, EVIOCGID, KEY_POWER } from '@pkg/sys/constants'
import { assert, constantFrom, property, string } from 'fast-check'
import { expect, test } from 'vitest'
import { fnmatch } from '../src/boot/fnmatch.ts'
import { eviocgbitKey, hasPowerKey, hasPowerPress, INPUT_EVENT_BYTES } from '../src/boot/input-event.ts'
import { moduleFinder, type ModuleIndex } from '../src/boot/module-index.ts'
import { sysctlPath } from '../src/boot/sysctl-path.ts'
import { parseUevent } from '../src/boot/uevent.ts'

const virtioNet = 'pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00'

test.each([
  ['pci:v00001AF4d*sv*sd*bc*sc*i*', virtioNet, true],
  ['pci:v00001AF4d*sv*sd*bc01sc*i*', virtioNet, false],
  ['virtio:d00000001v*', 'virtio:d00000001v00001AF4', true],
  ['acpi*:PNP0C0C:*', 'acpi:PNP0C0C:', true],
  ['input:b*v*e*-e*1,*k*74,*', 'input:b0019v0000p0001e0000-e0,1,k74,ramlsfw', true],
  ['usb:v0[0-9A-C]*', 'usb:v0B12', true],
  ['usb:v0[!0-9]*', 'usb:v012', false],
  ['a[]]b', 'a]b', true],
  ['a[b', 'a[b', true],
  ['\\*', '*', true],
  ['\\*', 'x', false],
  ['', '', true],
  ['*', '', true],
  ['?', '', false],
] as const)('fnmatch(%j, %j) is %j', (pattern, text, expected) => {
  expect(fnmatch(pattern, text)).toBe(expected)
})

test('fnmatch() agrees with the regular expression for patterns of stars and question marks', () => {
  const patterns = string({ unit: constantFrom('a', 'b', '*', '?'), maxLength: 8 })
  assert(
    property(patterns, string({ unit: constantFrom('a', 'b'), maxLength: 10 }), (pattern, text) => {
      const expression = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`)
      expect(fnmatch(pattern, text)).toBe(expression.test(text))
    }),
  )
})

const plain = { dependencies: [], softPre: [], softPost: [] }
const index: ModuleIndex = {
  release: '6.1.0',
  modules: {
    virtio_ring: { ...plain, path: '/m/virtio_ring.ko' },
    virtio: { ...plain, path: '/m/virtio.ko', dependencies: ['virtio_ring'] },
    'virtio-net': {
      ...plain,
      path: '/m/virtio-net.ko',
      dependencies: ['virtio_ring', 'virtio'],
      softPost: ['crc'],
    },
    crc: { ...plain, path: '/m/crc.ko', softPre: ['virtio_net', 'not_in_the_image'] },
  },
  aliases: [
    ['virtio:d00000001v*', 'virtio_net'],
    ['acpi*:PNP0C0C:*', 'button'],
  ],
  builtin: ['ext4'],
}

test('moduleFinder() orders dependencies first, takes soft ones in, and survives their circles', () => {
  const finder = moduleFinder(index)
  expect(finder.loadOrder('virtio_net')).toEqual(['virtio_ring', 'virtio', 'virtio_net', 'crc'])
  expect(finder.loadOrder('virtio-net')).toEqual(finder.loadOrder('virtio_net'))
  expect(finder.loadOrder('unknown')).toEqual([])
  expect(finder.pathOf('virtio_net')).toBe('/m/virtio-net.ko')
  expect(finder.isBuiltin('ext4')).toBe(true)
})

test('moduleFinder() finds the modules of a modalias, also behind a bus with a wildcard', () => {
  const finder = moduleFinder(index)
  expect(finder.forModalias('virtio:d00000001v00001AF4')).toEqual(['virtio_net'])
  expect(finder.forModalias('acpi:PNP0C0C:')).toEqual(['button'])
  expect(finder.forModalias('pci:v00001AF4d*')).toEqual([])
})

test('parseUevent() reads a datagram as the kernel sends it', () => {
  const datagram = new TextEncoder().encode(
    'add@/devices/virtual/x\0ACTION=add\0DEVPATH=/devices/virtual/x\0MODALIAS=virtio:d1v2=3\0SEQNUM=9\0',
  )
  expect(parseUevent(datagram)).toEqual({
    action: 'add',
    devicePath: '/devices/virtual/x',
    values: { ACTION: 'add', DEVPATH: '/devices/virtual/x', MODALIAS: 'virtio:d1v2=3', SEQNUM: '9' },
  })
  expect(parseUevent(new TextEncoder().encode('libudev\0'))).toBeNull()
  expect(parseUevent(new Uint8Array())).toBeNull()
})

test.each([
  ['net.ipv4.ip_forward', 'net/ipv4/ip_forward'],
  ['net.ipv4.conf.eth0/100.rp_filter', 'net/ipv4/conf/eth0.100/rp_filter'],
  ['net/ipv4/conf/eth0.100/rp_filter', 'net/ipv4/conf/eth0.100/rp_filter'],
  ['single', 'single'],
])('sysctlPath(%j) is %j', (name, path) => {
  expect(sysctlPath(name)).toBe(path)
})

test('hasPowerPress() knows a power key going down from all other input', () => {
  const event = (type: number, code: number, value: number): Uint8Array => {
    const bytes = new Uint8Array(INPUT_EVENT_BYTES)
    const view = new DataView(bytes.buffer)
    view.setUint16(16, type, true)
    view.setUint16(18, code, true)
    view.setInt32(20, value, true)
    return bytes
  }
  expect(hasPowerPress(event(EV_KEY, KEY_POWER, 1))).toBe(true)
  expect(hasPowerPress(event(EV_KEY, KEY_POWER, 0))).toBe(false)
  expect(hasPowerPress(event(0, KEY_POWER, 1))).toBe(false)
  expect(hasPowerPress(event(EV_KEY, 30, 1))).toBe(false)
  expect(hasPowerPress(event(EV_KEY, KEY_POWER, 1).subarray(0, 20))).toBe(false)
})

test('hasPowerKey() and eviocgbitKey() follow linux/input.h', () => {
  const bits = new Uint8Array(96)
  expect(hasPowerKey(bits)).toBe(false)
  bits[KEY_POWER >> 3] = 1 << (KEY_POWER & 7)
  expect(hasPowerKey(bits)).toBe(true)
  // EVIOCGID is _IOR('E', 0x02, 8 bytes): the same shape with another number and length.
  expect(eviocgbitKey(8)).toBe(EVIOCGID - 0x02 + 0x20 + EV_KEY)
})
