// Kernel modules.
import { check } from './errno.ts'
import { type AsFd, fdNumber } from './fd.ts'
import { bind } from './raw.ts'
import { bytes, cString, u32 } from './raw/arguments.ts'

const raw = {
  finitModule: bind('finit_module', 'int', 'ptr', 'int'),
  initModule: bind('init_module', 'ptr', 'int', 'ptr'),
  deleteModule: bind('delete_module', 'ptr', 'int'),
}

/**
 * `finit_module(fd, param_values, flags)` — loads the module in an open file.
 *
 * Blocks: while its init function runs, which may probe hardware. Needs: CAP_SYS_MODULE.
 *
 * @param params - the module's parameters: `debug=1 name=value`
 * @param flags - MODULE_INIT_IGNORE_MODVERSIONS, MODULE_INIT_COMPRESSED_FILE …
 * @throws {@link SysError} `EEXIST` it is loaded already; `ENOENT` a symbol is missing: load what it depends on
 * first; `ENOEXEC` not a module; `EKEYREJECTED` its signature
 * @see https://man7.org/linux/man-pages/man2/finit_module.2.html
 */
export function finit_module(fd: AsFd, params = '', flags = 0): void {
  check(raw.finitModule(fdNumber(fd), cString(params, 'params'), u32(flags, 'flags')), 'finit_module')
}

/**
 * `delete_module(name, flags)` — unloads a module that nobody uses.
 *
 * @param flags - O_NONBLOCK (else it may wait), O_TRUNC to force
 * @throws {@link SysError} `ENOENT` not loaded; `EWOULDBLOCK`, `EBUSY` in use
 * @see https://man7.org/linux/man-pages/man2/delete_module.2.html
 */
export function delete_module(name: string, flags: number): void {
  check(raw.deleteModule(cString(name, 'name'), u32(flags, 'flags')), 'delete_module', name)
}

/**
 * `init_module(module_image, size, param_values)` — loads a module from memory. `finit_module` reads it from its file,
 * which a security policy may ask about.
 *
 * Blocks: while its init function runs. Needs: CAP_SYS_MODULE.
 *
 * @throws {@link SysError} as {@link finit_module}
 * @see https://man7.org/linux/man-pages/man2/init_module.2.html
 */
export function init_module(image: Uint8Array, params = ''): void {
  check(raw.initModule(bytes(image, 'image'), image.length, cString(params, 'params')), 'init_module')
}
