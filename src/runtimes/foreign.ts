/** Calls into C libraries, by koffi: imported and set up once, whichever engine needs it first. */

/** The address of something in a library's memory. Who creates it frees it. */
export type Pointer = bigint;

/** A C function; `async` runs it on a thread of libuv's pool. */
export interface Native<A extends readonly unknown[], R> {
  (...args: A): R;
  async(...args: [...A, (error: unknown, result: R) => void]): void;
}

export type Koffi = typeof import('koffi');

let imported: Promise<Koffi> | undefined;

/**
 * koffi runs each call on a stack of its own. Its 2 MiB, and 128 KiB off the main thread, are less than numeric libraries
 * count on: their kernels keep blocks of matrices on the stack. Pages that are not touched cost nothing.
 */
const STACK_BYTES = 8 * 2 ** 20;

export function importKoffi(): Promise<Koffi> {
  imported ??= import('koffi').then((module) => {
    // queued calls beyond this many throw, and the shell has far fewer in flight; it can be set before the first load only
    module.config({ max_async_calls: 4096, sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES });
    return module;
  });
  return imported;
}

/** Runs a C function on a thread of libuv's pool. What it reads and writes must stay alive until this settles. */
export function offThread<A extends readonly unknown[], R>(native: Native<A, R>, ...args: A): Promise<R> {
  return new Promise((resolve, reject) => {
    native.async(...args, (error, result) => (error ? reject(error) : resolve(result)));
  });
}
