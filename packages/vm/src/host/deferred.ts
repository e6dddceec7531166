/** A promise and what settles it, in one: `Promise.withResolvers`, which Node has only since version 22. */
export interface Deferred<T> {
  /** Settled by whichever of the two is called first. */
  readonly promise: Promise<T>
  /** Fulfils {@link Deferred.promise}. */
  readonly resolve: (value: T | PromiseLike<T>) => void
  /** Rejects {@link Deferred.promise}. */
  readonly reject: (reason?: unknown) => void
}

/** Makes one that is not settled. */
export function deferred<T>(): Deferred<T> {
  let resolve!: Deferred<T>['resolve']
  let reject!: Deferred<T>['reject']
  const promise = new Promise<T>((fulfil, refuse) => {
    resolve = fulfil
    reject = refuse
  })
  return { promise, resolve, reject }
}
