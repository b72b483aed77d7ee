import { fileURLToPath } from 'node:url';

/** The folder of the built programs, seen from the bundle, from its chunks, or from the sources when tests run them. */
function dist(): URL {
  const here = new URL('.', import.meta.url);
  if (here.pathname.endsWith('/src/main/')) return new URL('../../dist/', here);
  return here.pathname.endsWith('/chunks/') ? new URL('../', here) : here;
}

/** A built program of this package. */
export function program(name: 'runtime' | 'pod' | 'node-cache' | 'gateway' | 'worker' | 'payload-log'): string {
  return fileURLToPath(new URL(`${name}.js`, dist()));
}

/** The program that runs training jobs in their pods; handed to them as text. */
export function jobWrapper(): string {
  return fileURLToPath(new URL('kubernetes/wrapper.py', dist()));
}
