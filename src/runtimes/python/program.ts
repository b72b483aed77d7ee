import { fileURLToPath } from 'node:url';

/** The worker's program: beside the built programs, or among the sources when tests run those. */
export function workerProgram(): string {
  const here = new URL('.', import.meta.url);
  if (here.pathname.endsWith('/src/runtimes/python/')) return fileURLToPath(new URL('worker/main.py', here));
  return fileURLToPath(new URL(here.pathname.endsWith('/chunks/') ? '../python/main.py' : 'python/main.py', here));
}
