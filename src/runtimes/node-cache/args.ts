import type { LogLevel } from '../../log.js';
import { LEVELS, readAddress, readFlags, readInteger, readWord, TEXT } from '../args.js';
import { type PodEnv, readPodsUrl } from '../pod/args.js';

/** What the program of a node's cache is started with. */
export interface NodeCacheArgs {
  /** Where gateways answer pods, without a slash at its end. */
  readonly podsUrl: string;
  readonly http: { readonly host: string; readonly port: number };
  /** Where blobs are kept; no other process's. */
  readonly folder: string;
  /** How many bytes of them, with those on their way. */
  readonly maxBytes: number;
  readonly drainMs: number;
  readonly logLevel: LogLevel;
}

/** How it is called. */
export const USAGE = `usage: node-cache --pods-url URL [--http HOST:PORT] [--folder DIR] [--max-bytes N] …
  --pods-url URL       where gateways answer pods, such as http://sluice.sluice.svc:8080 (default: SLUICE_PODS_URL)
  --http HOST:PORT     where it answers pods itself (default 0.0.0.0:8080, or the port that PORT names)
  --folder DIR         where it keeps files, alone (default /cache)
  --max-bytes N        how much it keeps; what was used longest ago goes first (default 21474836480)
  --drain-ms MS        how long requests in flight may take after SIGTERM (default 30000)
  --log-level LEVEL    debug, info, warn, error or silent (default info)
`;

const FLAGS = {
  'pods-url': TEXT,
  http: TEXT,
  folder: TEXT,
  'max-bytes': TEXT,
  'drain-ms': TEXT,
  'log-level': TEXT,
} as const;

/** Reads argv without node and script; throws `invalid` naming the argument. */
export function readNodeCacheArgs(argv: readonly string[], env: PodEnv = process.env): NodeCacheArgs {
  const values = readFlags(argv, FLAGS);
  return {
    podsUrl: readPodsUrl(values['pods-url'] ?? env.SLUICE_PODS_URL),
    http: readAddress(values.http ?? `0.0.0.0:${env.PORT ?? 8080}`),
    folder: values.folder ?? '/cache',
    maxBytes: readInteger('--max-bytes', values['max-bytes'] ?? String(20 * 2 ** 30), 0, Number.MAX_SAFE_INTEGER),
    drainMs: readInteger('--drain-ms', values['drain-ms'] ?? '30000', 0, 3_600_000),
    logLevel: readWord('--log-level', values['log-level'] ?? 'info', LEVELS),
  };
}
