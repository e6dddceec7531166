/** The steps on files on a real ext4 file system: as root in a mount namespace of its own. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const program = fileURLToPath(new URL('./data/on-ext4.ts', import.meta.url))
/** Loop devices need root; where the tests run as somebody else, the set-up has needed sudo too. */
const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n']

/** Makes files by a script in a fresh ext4 file system, and runs a request of the program there; its output. */
function onExt4(script: string, request: string, after: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'solo-data-'))
  try {
    const image = join(folder, 'ext4.img')
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-O', 'has_journal', image, '48M'])
    const steps = `set -eu
mkdir "${folder}/fs"
mount -o loop,user_xattr,acl "${image}" "${folder}/fs"
cd "${folder}/fs"
${script}
"${process.execPath}" "${program}" ${request}
${after}
cd /
umount "${folder}/fs"
e2fsck -fn "${image}" > /dev/null 2>&1
`
    writeFileSync(join(folder, 'steps.sh'), steps)
    const [file, ...args] = [...asRoot, 'unshare', '--mount', 'bash', join(folder, 'steps.sh')] as const
    const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`status ${status}: ${stderr}\n${stdout}`)
    return stdout
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const files = `
mkdir -p data/inner/empty other
printf hello > data/plain; chmod 640 data/plain; chown 1000:2000 data/plain
touch -d '2020-01-02 03:04:05.123456789' data/plain
truncate -s 20M data/sparse; printf x | dd of=data/sparse bs=1 seek=10000000 conv=notrunc status=none
head -c 3000000 /dev/urandom > data/inner/large
ln data/plain data/inner/hard; ln data/plain other/across
ln -s ../../etc/passwd data/link; chown -h 1000:1000 data/link
mkfifo -m 600 data/pipe; mknod -m 640 data/device c 1 3
printf program > data/program; chown 5:5 data/program; chmod 6755 data/program
setfattr -n user.colour -v blue data/plain; setfattr -n user.folder -v yes data/inner
setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 data/program
setfacl -m u:1234:rwx data/inner; setfacl -d -m g:77:r data/inner
chmod 2751 data/inner; chown 1000:1000 data; touch -d '2019-01-01' data/inner/empty data/inner data
`

/** Everything that a copy has to be true to, in an order of its own; hard links as the groups of names. */
const describe = (folder: string): string => `
(cd ${folder} && find . -printf '%p %y %m %U:%G %T@ %s %l %n\\n' | sed -E 's/^(\\S+ d .*) [0-9]+ +([0-9]+)$/\\1/' | sort
find . | sort > ../names
find . -type f -exec sha256sum {} + | sort
xargs -d '\\n' getfattr -hdm - -- < ../names
grep -v link ../names | xargs -d '\\n' getfacl -n --)`

test('copyFolders() makes copies that are true in all that stat, getfattr and getfacl show', () => {
  const after = `
echo =====; ${describe('data')}; echo =====; ${describe('copy/0')}; echo =====
stat -c %i copy/0/plain copy/0/inner/hard copy/2/across | sort -u | wc -l
test "$(stat -c %b copy/0/sparse)" -lt 100
test ! -e copy/1
stat -c %a copy`
  const output = onExt4(files, 'copy copy data - other', after)
  const [, original, copy, rest] = output.split('=====\n')
  expect(original).toContain('./inner/large')
  expect(original).toContain('security.capability')
  expect(original).toContain('user:1234:rwx')
  expect(copy).toBe(original)
  expect(rest).toBe('1\n700\n')
})

test('copyFolders() says what does not fit, and the rest stays to be removed', () => {
  const output = onExt4(
    'mkdir data; head -c 30000000 /dev/urandom > data/large; ln -s data link; mkdir -p small/mounted',
    'copy copy data',
    `"${process.execPath}" "${program}" remove copy; ls; "${process.execPath}" "${program}" copy copy link
"${process.execPath}" "${program}" remove copy
mount -t tmpfs none small/mounted; "${process.execPath}" "${program}" copy copy small; umount small/mounted`,
  )
  expect(output.split('\n')).toEqual([
    expect.stringMatching(/ENOSPC/),
    ...['data', 'link', 'lost+found', 'small'],
    expect.stringMatching(/link: expected a folder, and no link on the way to it$/),
    '0/mounted: expected a folder of the same file system as its snapshot, found a mount point',
    '',
  ])
})

test('measure() counts what copies take: holes and second names take nothing', () => {
  const output = onExt4(files, 'measure data other', 'du -s --block-size=1 data other | cut -f 1')
  const [measured, ...used] = output.trim().split('\n').map(Number)
  expect(measured).toBeGreaterThan(0)
  // du counts the folders' own blocks and those of long attributes a little differently.
  expect(Math.abs((measured ?? 0) - used.reduce((sum, each) => sum + each, 0))).toBeLessThan(64 * 1024)
})

test('rename() replaces an empty folder and refuses a full one', () => {
  const output = onExt4(
    'mkdir a b c; touch a/file c/file',
    'rename a b',
    `"${process.execPath}" "${program}" rename b c; find . -name file | sort`,
  )
  expect(output.split('\n')).toEqual([expect.stringMatching(/ENOTEMPTY/), './b/file', './c/file', ''])
})
