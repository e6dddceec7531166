// A static C program that is PID 1: it says its arguments, and ends as the first one asks for.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * `exit N`: ends with a status. `debug-exit N`: writes to the port of QEMU's isa-debug-exit at 0xf4. `hang`: stays.
 * `silence`: stays, and never said a word.
 */
const SOURCE = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/io.h>

int main(int argc, char **argv) {
  if (strcmp(argv[1], "silence") == 0) for (;;) pause();
  printf("init: process %d was told: %s\\n", getpid(), argv[1]);
  fflush(stdout);
  if (strcmp(argv[1], "debug-exit") == 0 && iopl(3) == 0) outb(atoi(argv[2]), 0xf4);
  if (strcmp(argv[1], "exit") == 0) return atoi(argv[2]);
  for (;;) pause();
}
`

/** A program on the host's disk. */
export interface StaticInit extends Disposable {
  /** Absolute path. */
  readonly path: string
}

/** Compiles it. */
export function staticInit(): StaticInit {
  const folder = mkdtempSync(join(tmpdir(), 'solo-init-'))
  const path = join(folder, 'init')
  writeFileSync(`${path}.c`, SOURCE)
  execFileSync('gcc', ['-static', '-O1', '-o', path, `${path}.c`])
  return { path, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}
