import { fileURLToPath } from 'node:url';

/** A built program of this package. Bundled code lies in dist itself; tests run from the sources and name dist too. */
export function program(name: 'runtime' | 'gateway' | 'worker'): string {
  const here = new URL('.', import.meta.url);
  const dist = here.pathname.endsWith('/src/main/') ? new URL('../../dist/', here) : here;
  return fileURLToPath(new URL(`${name}.js`, dist));
}
