/** The command line's own settings. The only file of it that reads the environment. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { usageError } from './exit.js';

/** One line per environment variable, for the documentation. */
export const CLIENT_SETTINGS: readonly (readonly [string, string])[] = [
  ['SLUICE_URL', 'Where the gateway is. Default: http://127.0.0.1:8080'],
  ['SLUICE_KEY', 'API key. Default, for a gateway on this machine: the file `admin-key` in the data folder'],
  ['SLUICE_DATA_DIR', 'Data folder of the gateway on this machine. Default: ~/.sluice'],
  ['NO_COLOR', 'Any value: no colours'],
];

export interface ClientSettings {
  /** Without a slash at its end. */
  readonly url: string;
  readonly key: string | undefined;
  /** Where the key came from, in words that an error can use. */
  readonly keyFrom: string;
}

export interface Flags {
  readonly url?: string | undefined;
  readonly key?: string | undefined;
}

const DEFAULT_URL = 'http://127.0.0.1:8080';

/** Flags over environment over defaults. The data folder's admin key is never sent to another machine. */
export function readSettings(flags: Flags, env: NodeJS.ProcessEnv): ClientSettings {
  const url = checkedUrl(
    flags.url ?? (env.SLUICE_URL || DEFAULT_URL),
    flags.url === undefined ? 'SLUICE_URL' : '--url',
  );
  if (flags.key !== undefined)
    return { url: url.text, key: checkedKey(flags.key, '--key'), keyFrom: 'the key of --key' };
  if (env.SLUICE_KEY) {
    return { url: url.text, key: checkedKey(env.SLUICE_KEY, 'SLUICE_KEY'), keyFrom: 'the key of SLUICE_KEY' };
  }
  const file = join(dataFolder(env), 'admin-key');
  if (!isLoopback(url.host)) return { url: url.text, key: undefined, keyFrom: 'no key (set SLUICE_KEY or pass --key)' };
  const key = readKeyFile(file);
  return {
    url: url.text,
    key,
    keyFrom: key ? `the key in ${file}` : `no key (${file} cannot be read; set SLUICE_KEY)`,
  };
}

/** The environment, for what is handed on to the commands. */
export function environment(): NodeJS.ProcessEnv {
  return process.env;
}

/** Whether colours are welcome on a stream. */
export function wantsColour(isTerminal: boolean, env: NodeJS.ProcessEnv): boolean {
  return isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
}

function dataFolder(env: NodeJS.ProcessEnv): string {
  const home = env.HOME || homedir();
  return resolve((env.SLUICE_DATA_DIR || '~/.sluice').replace(/^~(?=\/|$)/, home));
}

function readKeyFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

function checkedUrl(text: string, from: string): { text: string; host: string } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw usageError(`${from} is "${text}", expected a URL such as ${DEFAULT_URL}`);
  }
  return { text: `${url.origin}${url.pathname.replace(/\/+$/, '')}`, host: url.hostname };
}

/** A key goes into a header, where anything but visible ASCII is refused in words that show it. */
function checkedKey(key: string, from: string): string {
  const trimmed = key.trim();
  if (/^[\x21-\x7e]+$/.test(trimmed)) return trimmed;
  throw usageError(`${from} is not a key: it is empty, or holds characters that no key has`);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}
