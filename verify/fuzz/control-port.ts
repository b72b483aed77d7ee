/** The control API, its bodies, names and numbers damaged. What is made is of names of its own, and of no cost. */
import { Pool } from 'undici';
import { faultOf } from './answers.js';
import type { Dice } from './dice.js';
import { damaged, damagedJson } from './mutate.js';
import type { Attempt, Port } from './port.js';
import { CHAT } from './questions.js';

const CONNECTIONS = 8;
const NAMES = [
  'fuzz-a',
  'fuzz-b',
  'nothing',
  '%00',
  '%zz',
  'é',
  '..',
  'A',
  'a'.repeat(300),
  '-',
  '1',
  '%F0%9F%98%80',
  "'--",
];
const NUMBERS = ['1', '2', '0', '-1', '1.5', '1e3', '2147483648', '9223372036854775808', 'NaN', '%00'];
const DIGEST = `sha256:${'0'.repeat(64)}`;

interface Operation {
  readonly method: string;
  /** `{name}` and `{n}` stand for what is made up. */
  readonly path: string;
  readonly body?: unknown;
  /** It takes as long as a server is given to start; this side leaves before. */
  readonly slow?: boolean;
}

/** After so long the client of a slow call leaves. */
const LEAVE_MS = 3000;

const OPERATIONS: readonly Operation[] = [
  { method: 'GET', path: '/whoami' },
  { method: 'PUT', path: '/blobs/{name}', body: 'bytes' },
  { method: 'GET', path: '/blobs/{name}' },
  { method: 'POST', path: '/blobs', body: 'bytes' },
  { method: 'GET', path: '/models?limit={n}' },
  { method: 'POST', path: '/models', body: { name: 'fuzz-a', description: 'd' } },
  { method: 'GET', path: '/models/{name}' },
  { method: 'POST', path: '/models/{name}/versions', body: { files: [{ path: 'model.onnx', digest: DIGEST }] } },
  {
    method: 'POST',
    path: '/models/{name}/versions',
    body: { files: [], server: { url: 'http://127.0.0.1:9', protocols: ['v2'], startTimeoutSec: 1 } },
    slow: true,
  },
  { method: 'GET', path: '/models/{name}/versions/{n}' },
  { method: 'GET', path: '/models/{name}/versions/{n}/files/{name}' },
  { method: 'GET', path: '/models/{name}/aliases' },
  { method: 'PUT', path: '/models/{name}/aliases/{name}', body: { version: 1, ifVersion: 2 } },
  { method: 'DELETE', path: '/models/{name}/aliases/{name}' },
  { method: 'GET', path: '/datasets' },
  { method: 'POST', path: '/datasets/{name}/versions', body: { digest: DIGEST } },
  { method: 'GET', path: '/datasets/{name}/versions/{n}/content' },
  { method: 'GET', path: '/endpoints' },
  {
    method: 'POST',
    path: '/endpoints',
    body: { name: 'fuzz-b', model: CHAT, version: 1, access: 'key', scaling: { maxReplicas: 1 } },
  },
  { method: 'PUT', path: '/endpoints/{name}', body: { model: CHAT, access: 'public', routing: { stickyHeader: 'x' } } },
  { method: 'GET', path: '/endpoints/{name}' },
  { method: 'DELETE', path: '/endpoints/{name}' },
  { method: 'POST', path: '/endpoints/{name}/revisions', body: { version: 1 } },
  { method: 'PUT', path: '/endpoints/{name}/traffic', body: { targets: [{ revision: 1, percent: 100, tag: 't' }] } },
  { method: 'POST', path: '/endpoints/{name}/promotions', body: { version: 1 } },
  { method: 'GET', path: '/promotions/{name}' },
  { method: 'GET', path: '/rollouts?endpoint={name}' },
  { method: 'POST', path: '/rollouts/{name}/pause', body: { reason: 'r' } },
  {
    method: 'POST',
    path: '/jobs',
    body: { name: 'j', code: DIGEST, entrypoint: 't.py', params: { a: 1 }, resources: { cpus: 1 } },
  },
  { method: 'GET', path: '/jobs?state={name}&limit={n}' },
  { method: 'GET', path: '/jobs/{name}' },
  { method: 'POST', path: '/jobs/{name}/cancel' },
  { method: 'GET', path: '/jobs/{name}/metrics?after={n}' },
  { method: 'GET', path: '/events?after={n}&limit={n}' },
  { method: 'POST', path: '/keys', body: { name: 'k', role: 'predict' } },
  { method: 'DELETE', path: '/keys/{name}' },
  { method: 'PATCH', path: '/models' },
  { method: 'GET', path: '/{name}' },
];
const TYPES = [
  'application/json',
  'application/json',
  'application/json; charset=x',
  'text/plain',
  'application/octet-stream',
  '',
];

export function controlPort(url: string, key: string): Port {
  const pool = new Pool(url, { connections: CONNECTIONS, headersTimeout: 0, bodyTimeout: 0 });
  return {
    name: 'control',
    share: 0.05,
    atOnce: CONNECTIONS,
    close: () => pool.destroy(),
    make(dice): Attempt {
      const { method, path, body, slow = false } = dice.pick(OPERATIONS);
      const filled = encodeURI(`/api/v1${fill(dice, path)}`).replaceAll('%25', '%');
      const bytes = body === undefined ? Buffer.alloc(0) : bodyOf(dice, body);
      const headers = {
        authorization: `Bearer ${key}`,
        'content-type': dice.chance(0.8) ? 'application/json' : dice.pick(TYPES),
      };
      return {
        about: `${method} ${filled} ${headers['content-type']}`,
        bytes,
        async run() {
          const sent = bytes.length === 0 ? null : bytes;
          const signal = slow ? AbortSignal.timeout(LEAVE_MS) : null;
          const asked = pool.request({ method: method as 'GET', path: filled, headers, body: sent, signal });
          const answer = await asked.catch((error: unknown) => {
            if (signal?.aborted) return undefined;
            throw error;
          });
          if (!answer) return undefined;
          const got = Buffer.from(await answer.body.arrayBuffer());
          return faultOf({ status: answer.statusCode, headers: answer.headers, body: got }, 'control', slow);
        },
      };
    },
  };
}

function fill(dice: Dice, path: string): string {
  return path
    .replaceAll('{name}', () => dice.pick(NAMES))
    .replaceAll('{n}', () => (dice.chance(0.5) ? '1' : dice.pick(NUMBERS)));
}

function bodyOf(dice: Dice, body: unknown): Buffer {
  const what = dice.random();
  if (what < 0.1) return Buffer.from(JSON.stringify(body));
  return what < 0.85 ? damagedJson(dice, body) : damaged(dice, Buffer.from(JSON.stringify(body)));
}
