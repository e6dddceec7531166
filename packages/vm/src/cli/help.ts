// What the command says about itself.

/** How the command's usage reads. `--` keeps the program's own flags from being read as the command's. */
export const USAGE: readonly string[] = ['[options] -- PROGRAM [ARGUMENT]...', '[options] --shell']

/** What it does, for whom, with what result. */
export const DESCRIPTION: string = `Starts a machine, runs PROGRAM in it with standard input, output and error attached, and ends with its exit
status. The machine sees the host's files as they are; what it changes of them stays in its memory and goes
with it, except in the current folder, which is shared for writing (--share, --no-share, --read-only).

The machine is QEMU's, with a kernel of its own, so that nothing but the shared folders is at stake; its
booted state is saved once and restored from then on (--no-snapshot boots anew). --backend namespace starts
sooner and has the host's kernel; uml is a kernel as an ordinary program; auto takes the cheapest that can do
what the other options ask for.

PROGRAM runs as root of the machine, in the current folder (in / if that is below /tmp or /run and not
shared), with PATH, HOME, TZ, LANG, LC_*, COLORTERM, NO_COLOR and FORCE_COLOR of the host's environment (TERM
too on a terminal), and what --env adds. Each disk's path is in SOLO_DISK0, SOLO_DISK1, ... When standard
input and output are terminals it has one as well; Ctrl-] three times within a second then cuts the machine's
power. Otherwise signals are passed on, and Ctrl-C twice within two seconds cuts it. Steps of a start that
takes long are told on terminals, elsewhere with --verbose.

Examples:
  solo vm -- make check
  solo vm --shell
  solo vm --disk 1G -- sh -c 'mkfs.ext4 $SOLO_DISK0 && mount $SOLO_DISK0 /mnt'
  solo vm --kernel ./bzImage --memory 2G --gdb --console -- ./test
  solo vm --forward 8080:80 --capture web.pcap -- ./server
  solo vm --backend namespace --read-only -- sh -c 'id; ls'
  tar c . | solo vm --no-share -- tar tv

Exit status: PROGRAM's own, 128+N when signal N ended it; 2 wrong usage; 124 --timeout ran out; 125 the
machine failed; 126 PROGRAM cannot be executed; 127 there is no such program.`

/** What is said when nothing is asked for. */
export const HELP: string = `USAGE\n${USAGE.map((line) => `  solo vm ${line}`).join('\n')}\n\n${DESCRIPTION}\n`
