// Mistakes in solo.config.ts: the messages are golden, as users see them.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ApplianceConfig, defineAppliance, jsonSchema } from '../src/config.ts'
import { nearest } from '../src/config/expect.ts'
import { loadAppliance, validateAppliance } from '../src/config/load.ts'
import { stableUid } from '../src/config/users.ts'
import { ConfigError } from '../src/error.ts'
import { testFolder } from './support/folder.ts'

/** The lines that a configuration gives; none when it is right. */
function mistakes(config: unknown, files: readonly string[] = ['server.ts']): string[] {
  using folder = testFolder()
  for (const file of files) writeFileSync(join(folder.path, file), '')
  try {
    validateAppliance(config, folder.path, 'solo.config.ts')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    expect(error.exitStatus).toBe(2)
    return error.message.split('\n')
  }
}

const web = { name: 'web', entry: './server.ts' }

describe('validateAppliance()', () => {
  test('validateAppliance() takes the smallest configuration and one with everything', () => {
    expect(mistakes(defineAppliance({ name: 'hello', services: [web] }))).toEqual([])
    const everything: ApplianceConfig = {
      name: 'all',
      version: '1.2.3',
      hostname: 'all.example.org',
      architecture: 'aarch64',
      kernel: { flavour: 'generic' },
      commandLine: ['loglevel=3'],
      modules: ['dm_crypt'],
      sysctl: { 'net.ipv4.ip_forward': '1' },
      network: { dhcp: false },
      services: [
        {
          ...web,
          environment: { LEVEL: 'debug' },
          user: 'shared',
          groups: [5],
          ports: [8080, 8443],
          workingDirectory: '/var',
          restart: 'on-failure',
          restartDelayMs: { initial: 10, max: 1000, factor: 1.5 },
          restartLimit: 5,
          stopSignal: 'SIGINT',
          stopTimeoutMs: 100,
          after: ['tool', 'network-online'],
        },
        { name: 'tool', command: ['/bin/tool', '--flag'], user: 'root' },
      ],
      files: [{ from: 'server.ts', to: '/bin/tool', mode: 0o755, uid: 0 }],
      sysroot: '.',
      forward: [8080, { host: 0, guest: 8443 }],
      machine: { memoryMiB: 256, cpus: 1 },
      shutdownTimeoutMs: 5000,
      allowEmergencyShell: true,
    }
    expect(mistakes(everything)).toEqual([])
  })

  test('validateAppliance() names the nearest key for one that is unknown', () => {
    expect(
      mistakes({ name: 'a', services: [{ ...web, enviroment: {} }], kernel: { flavor: 'cloud' }, zzz: 1 }),
    ).toEqual([
      'solo.config.ts: kernel.flavor: unknown key; did you mean "flavour"?',
      'solo.config.ts: services[0].enviroment: unknown key; did you mean "environment"?',
      'solo.config.ts: zzz: unknown key, expected one of name, version, release, hostname, architecture, kernel, commandLine, modules, profile, sysctl, network, services, files, packages, folders, users, groups, certificates, timeZone, disk, updates, agent, timeServers, sysroot, forward, machine, apt, shutdownTimeoutMs, allowEmergencyShell',
    ])
  })

  test('validateAppliance() says what a value of a wrong type was expected to be', () => {
    expect(mistakes({ name: 3, services: 'web' })).toEqual([
      'solo.config.ts: name: expected a name of lower-case letters, digits and -, beginning with a letter, got 3',
      'solo.config.ts: services: expected an array of services, got "web"',
    ])
    expect(mistakes({ name: 'a', services: [{ ...web, restart: 'alway', stopTimeoutMs: 1.5 }] })).toEqual([
      'solo.config.ts: services[0].restart: expected "always" or "on-failure" or "never", got "alway"; did you mean "always"?',
      'solo.config.ts: services[0].stopTimeoutMs: expected milliseconds, a whole number from 0 to 2147483647, got 1.5',
    ])
    expect(mistakes({ name: 'a', services: [{ ...web, entry: 8080 }, null, []] })).toEqual([
      'solo.config.ts: services[0].entry: expected the path of a TypeScript file, relative to solo.config.ts, got 8080',
      'solo.config.ts: services[1]: expected a service: an object with name and entry or command, got null',
      'solo.config.ts: services[2]: expected a service: an object with name and entry or command, got an array',
    ])
  })

  test.each([undefined, null, 3, 'x', [], () => 1])('validateAppliance() refuses %s as a whole', (value) => {
    expect(mistakes(value)).toHaveLength(1)
    expect(mistakes(value)[0]).toMatch(
      /^solo\.config\.ts: expected an object, as defineAppliance returns it, got /,
    )
  })

  test('validateAppliance() finds a service without a program, and one with two', () => {
    expect(mistakes({ name: 'a', services: [{ name: 'x' }, { ...web, command: ['/bin/x'] }] })).toEqual([
      'solo.config.ts: services[0]: expected entry (a TypeScript file) or command (a program of the image), got neither',
      'solo.config.ts: services[1]: expected only one of entry and command, got both',
    ])
    expect(
      mistakes({
        name: 'a',
        services: [
          { name: 'x', command: ['node'] },
          { name: 'y', command: [] },
        ],
      }),
    ).toEqual([
      'solo.config.ts: services[0].command[0]: expected the absolute path of a program in the image, got "node"',
      'solo.config.ts: services[1].command[0]: expected the absolute path of a program in the image, got nothing',
    ])
  })

  test('validateAppliance() finds two services of one name', () => {
    expect(mistakes({ name: 'a', services: [web, { name: 'b', command: ['/b'] }, web] })).toEqual([
      'solo.config.ts: services[2].name: expected a name of its own, got "web", as services[0] has',
    ])
    expect(mistakes({ name: 'a', services: [{ ...web, name: 'init' }] })).toEqual([
      'solo.config.ts: services[0].name: expected a name that is not reserved, got "init"',
    ])
  })

  test('validateAppliance() finds files that do not exist', () => {
    expect(
      mistakes({
        name: 'a',
        services: [
          { ...web, entry: './servr.ts' },
          { name: 'b', entry: '.' },
        ],
        files: [{ from: './none', to: '/x' }],
        kernel: { deb: './k.deb' },
        sysroot: './server.ts',
        apt: { suite: 'x', sources: './x.txt' },
      }),
    ).toEqual([
      'solo.config.ts: services[0].entry: expected a file, got "./servr.ts", which does not exist',
      'solo.config.ts: services[1].entry: expected a file, got ".", which is a folder',
      'solo.config.ts: files[0].from: expected a file or folder, got "./none", which does not exist',
      'solo.config.ts: sysroot: expected a folder, got "./server.ts", which is a file',
      'solo.config.ts: apt.sources: expected a file, got "./x.txt", which does not exist',
      'solo.config.ts: kernel.deb: expected a file, got "./k.deb", which does not exist',
    ])
  })

  test('validateAppliance() finds user ids that collide', () => {
    expect(
      mistakes({
        name: 'a',
        services: [
          { ...web, uid: 1000 },
          { name: 'b', command: ['/b'], uid: 1000 },
        ],
      }),
    ).toEqual([
      'solo.config.ts: services[1].uid: expected a user id of its own, got 1000, which services[0] (user web) has; set uid to another number',
    ])
    const uid = stableUid('b')
    expect(
      mistakes({
        name: 'a',
        services: [
          { ...web, uid },
          { name: 'b', command: ['/b'] },
        ],
      }),
    ).toEqual([
      `solo.config.ts: services[1].name: expected a user id of its own, got ${uid}, which services[0] (user web) has; set uid to another number`,
    ])
    expect(
      mistakes({
        name: 'a',
        services: [
          { ...web, user: 'u', uid: 5 },
          { name: 'b', command: ['/b'], user: 'u' },
        ],
      }),
    ).toEqual([
      `solo.config.ts: services[1].name: expected uid 5 for user u, as services[0] has, got ${stableUid('u')}`,
    ])
    expect(mistakes({ name: 'a', services: [{ ...web, uid: 0 }] })).toEqual([
      "solo.config.ts: services[0].uid: expected a user id other than 0 (user: 'root' asks for it), got 0",
    ])
  })

  test('validateAppliance() finds bad ports and those that two want', () => {
    expect(mistakes({ name: 'a', services: [{ ...web, ports: [0, 65536, '80'] }] })).toEqual([
      'solo.config.ts: services[0].ports[0]: expected a TCP port, a whole number from 1 to 65535, got 0',
      'solo.config.ts: services[0].ports[1]: expected a TCP port, a whole number from 1 to 65535, got 65536',
      'solo.config.ts: services[0].ports[2]: expected a TCP port, a whole number from 1 to 65535, got "80"',
    ])
    expect(
      mistakes({
        name: 'a',
        services: [
          { ...web, ports: [8080, 80] },
          { name: 'b', command: ['/b'], ports: [8080] },
        ],
      }),
    ).toEqual([
      "solo.config.ts: services[0].ports[1]: expected a port from 1024 on, got 80: lower ones need user: 'root', or sysctl: { 'net.ipv4.ip_unprivileged_port_start': '80' }",
      'solo.config.ts: services[1].ports[0]: expected a port of its own, got 8080, as services[0].ports[0] has',
    ])
    const low = { sysctl: { 'net.ipv4.ip_unprivileged_port_start': '80' } }
    expect(mistakes({ name: 'a', services: [{ ...web, ports: [80] }], ...low })).toEqual([])
    expect(mistakes({ name: 'a', services: [{ ...web, ports: [80], user: 'root' }] })).toEqual([])
    expect(
      mistakes({ name: 'a', services: [web], forward: [{ host: 1 }, 'x', 80, { host: 80, guest: 81 }] }),
    ).toEqual([
      'solo.config.ts: forward[0]: expected a TCP port or { host, guest } with ports (host 0: any free one), got {"host":1}',
      'solo.config.ts: forward[1]: expected a TCP port or { host, guest } with ports (host 0: any free one), got "x"',
      'solo.config.ts: forward[3]: expected a host port of its own, got 80, as forward[2] has',
    ])
  })

  test('validateAppliance() finds orders that go in circles or name nothing', () => {
    const services = [
      { ...web, after: ['b'] },
      { name: 'b', command: ['/b'], after: ['web', 'wbe', 'network-online'] },
    ]
    expect(mistakes({ name: 'a', services })).toEqual([
      'solo.config.ts: services[1].after[1]: expected the name of a service, got "wbe"; did you mean "web"?',
      'solo.config.ts: services[0].after: expected an order without circles, got one back to "web"',
      'solo.config.ts: services[1].after: expected an order without circles, got one back to "b"',
    ])
  })

  test('validateAppliance() refuses paths that the build fills, and two kernels', () => {
    const files = [
      { from: 'server.ts', to: '/init' },
      { from: 'server.ts', to: '/a/../b' },
      { from: 'server.ts', to: '/x' },
      { from: 'server.ts', to: '/x' },
    ]
    const kernel = { flavour: 'cloud', package: 'linux-image-rt-amd64', modules: '.' }
    expect(mistakes({ name: 'a', services: [web], files, kernel })).toEqual([
      'solo.config.ts: files[0].to: expected a path that Solo does not fill itself, got "/init"',
      'solo.config.ts: files[1].to: expected a path without //, . and .., got "/a/../b"',
      'solo.config.ts: files[3].to: expected a path of its own, got "/x", as files[2] has',
      'solo.config.ts: kernel: expected one of flavour, package, deb and image, got flavour and package',
      'solo.config.ts: kernel.modules: expected kernel.image with it, got modules alone',
    ])
  })

  test('validateAppliance() never repeats what may be a secret', () => {
    const secret = 'hunter2hunter2'
    const config = {
      name: 'a',
      services: [
        { ...web, environment: { TOKEN: [secret], OTHER: { secret } } },
        { name: 'b', command: ['/b', 5, { secret }], environment: secret.split('') },
      ],
    }
    const lines = mistakes(config)
    expect(lines).toHaveLength(5)
    expect(lines.join('\n')).not.toContain('hunter2')
    expect(lines[0]).toBe('solo.config.ts: services[0].environment.TOKEN: expected text, got an array')
  })

  test('validateAppliance() gives an error of ours, never a crash, for any value', () => {
    const key = fc.constantFrom(
      'name',
      'services',
      'entry',
      'command',
      'ports',
      'files',
      'from',
      'to',
      'kernel',
      'after',
      'forward',
      'x',
    )
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom(undefined, null, 0, -1, 80, 'web', '/x', '', true, Number.NaN),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(key, tie('value'), { maxKeys: 6 }),
      ),
    }))
    fc.assert(
      fc.property(value, (config) => {
        try {
          validateAppliance(config, '/', 'solo.config.ts')
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError)
        }
      }),
    )
  })
})

describe('loadAppliance()', () => {
  test('loadAppliance() returns the configuration and its folder', async () => {
    using folder = testFolder()
    mkdirSync(join(folder.path, 'src'))
    writeFileSync(join(folder.path, 'src/server.ts'), '')
    writeFileSync(
      join(folder.path, 'solo.config.ts'),
      `export default { name: 'x', services: [{ name: 'web', entry: './src/server.ts' }] }`,
    )
    const loaded = await loadAppliance(folder.path)
    expect(loaded).toEqual({
      folder: folder.path,
      file: join(folder.path, 'solo.config.ts'),
      config: { name: 'x', services: [{ name: 'web', entry: './src/server.ts' }] },
    })
    expect(await loadAppliance(join(folder.path, 'solo.config.ts'))).toEqual(loaded)
  })
})

describe('the schema', () => {
  test('jsonSchema() describes every key of the configuration and allows no other', () => {
    const schema = jsonSchema() as {
      properties: Record<string, unknown>
      additionalProperties: boolean
      required: string[]
    }
    expect(Object.keys(schema.properties)).toContain('services')
    expect(schema.required).toEqual(['name', 'services'])
    expect(schema.additionalProperties).toBe(false)
  })

  test('stableUid() stays in the range of such users and never changes', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const uid = stableUid(name)
        expect(uid === 0 ? name === 'root' : uid >= 61_184 && uid <= 65_519).toBe(true)
      }),
    )
    // Files in /var belong to these numbers: they may not change from release to release.
    expect([stableUid('root'), stableUid('web'), stableUid('agent')]).toMatchInlineSnapshot(`
      [
        0,
        62294,
        64698,
      ]
    `)
  })

  test('nearest() finds a slip of the fingers and leaves other words alone', () => {
    expect(nearest('entyr', ['name', 'entry'])).toBe('entry')
    expect(nearest('ENTRY', ['entry'])).toBe('entry')
    expect(nearest('colour', ['name', 'entry'])).toBeUndefined()
  })
})
