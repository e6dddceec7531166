// A hook into the engine's loop: libuv's check handles, which Bun has for native addons (uv.h; `uv_check_start(3)` of
// libuv's documentation: "called once per loop iteration, right after polling for i/o"). The symbols are the engine's
// own; the C library finds them.
import type { Pointer } from 'bun:ffi'
import { bunFfi, libraryNames, mapMemory } from './ffi.ts'

/**
 * The versions whose loop was looked at. Earlier ones export these functions and end the process when one is called;
 * of later ones nothing is known until the tests have run on them.
 */
const knownVersions = '~1.4.5'

/** More than a `uv_check_t` (120 bytes on 64-bit Linux), which belongs to the loop for as long as the process lives. */
const handleSizeBytes = 4096

/** libuv's functions for the one check handle of this process. */
interface CheckHandle {
  start(): void
  stop(): void
  /** Keeps the process alive while it is started. */
  ref(): void
  unref(): void
}

/** A listener of the loop's turns. */
export interface TurnHook {
  /** Keeps the process alive from now on. */
  ref(): void
  /** No longer keeps the process alive. */
  unref(): void
  /** Ends the calls. */
  end(): void
}

const listeners = new Set<() => void>()
let refs = 0
let handle: CheckHandle | undefined
let looked = false

/** The loop's check handle, or undefined where this engine or this thread has none. */
function checkHandle(): CheckHandle | undefined {
  if (looked) return handle
  looked = true
  // The only loop that libuv's functions know is the main thread's.
  if (Bun.isMainThread && Bun.semver.satisfies(Bun.version, knownVersions)) handle = openCheckHandle()
  return handle
}

function openCheckHandle(): CheckHandle | undefined {
  const find = openFinder()
  const addressOf = (name: string): Pointer | null =>
    find?.(null, new TextEncoder().encode(`${name}\0`)) ?? null
  const [loop, init] = [addressOf('uv_default_loop'), addressOf('uv_check_init')]
  const [start, stop] = [addressOf('uv_check_start'), addressOf('uv_check_stop')]
  const [ref, unref] = [addressOf('uv_ref'), addressOf('uv_unref')]
  if (!loop || !init || !start || !stop || !ref || !unref) return undefined
  const { JSCallback, linkSymbols } = bunFfi()
  const { symbols: uv } = linkSymbols({
    loop: { ptr: loop, args: [], returns: 'ptr' },
    init: { ptr: init, args: ['ptr', 'ptr'], returns: 'int' },
    start: { ptr: start, args: ['ptr', 'ptr'], returns: 'int' },
    stop: { ptr: stop, args: ['ptr'], returns: 'int' },
    ref: { ptr: ref, args: ['ptr'], returns: 'void' },
    unref: { ptr: unref, args: ['ptr'], returns: 'void' },
  })
  const address = mapMemory(handleSizeBytes) as Pointer
  const callback = new JSCallback(onTurn, { args: ['ptr'], returns: 'void' })
  if (callback.ptr === null || uv.init(uv.loop(), address) !== 0) return undefined
  uv.unref(address)
  return {
    start: () => void uv.start(address, callback.ptr),
    stop: () => void uv.stop(address),
    ref: () => uv.ref(address),
    unref: () => uv.unref(address),
  }
}

type Finder = (library: null, name: Uint8Array) => Pointer | null

/** dlsym(3), which finds what the program itself exports when it is asked for no library. */
function openFinder(): Finder | undefined {
  for (const name of libraryNames) {
    try {
      return bunFfi().dlopen(name, { dlsym: { args: ['ptr', 'ptr'], returns: 'ptr' } }).symbols
        .dlsym as Finder
    } catch {
      // The next one. Before glibc 2.34 the function was in a library of its own: such a system has no hook.
    }
  }
  return undefined
}

function onTurn(): void {
  for (const listener of listeners) listener()
}

/** Whether {@link onTurns} works here. */
export function hasTurns(): boolean {
  return checkHandle() !== undefined
}

/**
 * Calls `listener` after each time that the engine's loop has waited, without keeping the process alive. Promises that
 * it settles go on before the loop waits again; what it throws is an uncaught exception.
 *
 * @throws TypeError where there is no hook
 */
export function onTurns(listener: () => void): TurnHook {
  const check = checkHandle()
  if (check === undefined) throw new TypeError('the engine’s loop has no hook here')
  if (listeners.size === 0) check.start()
  listeners.add(listener)
  let referenced = false
  const hook: TurnHook = {
    ref() {
      if (referenced) return
      referenced = true
      if (refs++ === 0) check.ref()
    },
    unref() {
      if (!referenced) return
      referenced = false
      if (--refs === 0) check.unref()
    },
    end() {
      hook.unref()
      if (listeners.delete(listener) && listeners.size === 0) check.stop()
    },
  }
  return hook
}
