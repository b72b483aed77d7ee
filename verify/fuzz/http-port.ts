/** Bodies of predictions over HTTP, damaged, on kept connections: V2 as JSON and binary, V1, the OpenAI API, and questions. */
import { gzipSync } from 'node:zlib';
import { Pool } from 'undici';
import { type Form, faultOf } from './answers.js';
import type { Dice } from './dice.js';
import { damaged, damagedJson } from './mutate.js';
import type { Attempt, Port } from './port.js';
import { CHAT, MODELS, OUTSIDE, question, v1Body, v2Body } from './questions.js';

/** One request over HTTP. */
interface Request {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly form: Form;
  /** Of an external server, whose statuses are its own. */
  readonly foreign: boolean;
  /** It is right, and must be answered with 200. */
  readonly right: boolean;
}

export interface HttpTarget {
  readonly name: string;
  readonly share: number;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether it is the gateway, which knows more paths than a model server. */
  readonly gateway: boolean;
}

const CONNECTIONS = 24;
/** Of requests that are sent as they were made. */
const UNTOUCHED = 0.1;

export function httpPort({ name, share, url, headers, gateway }: HttpTarget): Port {
  const pool = new Pool(url, { connections: CONNECTIONS, headersTimeout: 0, bodyTimeout: 0 });
  return {
    name,
    share,
    atOnce: CONNECTIONS,
    close: () => pool.destroy(),
    make(dice): Attempt {
      const asked = dice.pick(gateway ? GATEWAY_KINDS : SERVER_KINDS)(dice);
      const { method, path, body } = asked;
      return {
        about: `${method} ${path} ${JSON.stringify(asked.headers)}`,
        bytes: body,
        async run() {
          const sent = { ...headers, ...asked.headers };
          const answer = await pool.request({ method, path, headers: sent, body: method === 'GET' ? null : body });
          const got = Buffer.from(await answer.body.arrayBuffer());
          const { statusCode: status, headers: gotHeaders } = answer;
          if (asked.right && status !== 200) return `a right request has status ${status}: ${got.toString()}`;
          return faultOf({ status, headers: gotHeaders, body: got }, asked.form, asked.foreign);
        },
      };
    },
  };
}

const NONE = Buffer.alloc(0);
type Kind = (dice: Dice) => Request;

const request = (path: string, more: Partial<Request> = {}): Request => ({
  ...{ method: 'POST', path, headers: {}, body: NONE, form: 'inference', foreign: path.includes(OUTSIDE) },
  right: false,
  ...more,
});

const v2Json: Kind = (dice) => {
  const asked = question(dice);
  const { body } = v2Body(asked, false);
  const right = dice.chance(UNTOUCHED);
  // JSON.parse would round what is beyond 2^53; as an input that is as good as another
  const sent = right ? body : dice.chance(0.6) ? damagedJson(dice, JSON.parse(body.toString())) : damaged(dice, body);
  return request(`/v2/models/${asked.model}/infer`, { body: sent, right });
};

const v2Binary: Kind = (dice) => {
  const asked = question(dice);
  const { body, headerLength = 0 } = v2Body(asked, true);
  const path = `/v2/models/${asked.model}/infer`;
  const right = dice.chance(UNTOUCHED);
  if (right) return request(path, { body, right, headers: { 'inference-header-content-length': `${headerLength}` } });
  const length = dice.chance(0.7)
    ? String(headerLength)
    : dice.pick(['0', '-1', '1e3', '', 'x', '4294967296', '99999999999999999999', `${headerLength + 1}`, '1', '0x1']);
  const json = body.subarray(0, headerLength);
  const parts = dice.random();
  const sent =
    parts < 0.4
      ? damaged(dice, body)
      : parts < 0.7
        ? Buffer.concat([json, damaged(dice, body.subarray(headerLength))])
        : Buffer.concat([damaged(dice, json), body.subarray(headerLength)]);
  return request(path, { body: sent, headers: { 'inference-header-content-length': length } });
};

const v1: Kind = (dice) => {
  const asked = question(dice);
  const value = v1Body(asked, dice.chance(0.5));
  const right = asked.model !== OUTSIDE && dice.chance(UNTOUCHED);
  const body = right
    ? Buffer.from(JSON.stringify(value))
    : dice.chance(0.6)
      ? damagedJson(dice, value)
      : damaged(dice, Buffer.from(JSON.stringify(value)));
  return request(`/v1/models/${asked.model}:${right ? 'predict' : dice.pick(['predict', 'predict', 'explain'])}`, {
    body,
    right,
  });
};

const openai: Kind = (dice) => {
  const call = { model: CHAT, messages: [{ role: 'user', content: 'a b c' }], stream: false, temperature: 0.5 };
  const value = dice.chance(0.3) ? { model: CHAT, input: ['a', 'b'] } : call;
  const body = dice.chance(0.6) ? damagedJson(dice, value) : damaged(dice, Buffer.from(JSON.stringify(value)));
  const path = dice.pick(['/v1/chat/completions', '/openai/v1/embeddings', '/v1/completions']);
  return request(path, { body, form: 'openai', foreign: true });
};

const packed: Kind = (dice) => {
  const asked = dice.pick([v2Json, v1])(dice);
  const plain = gzipSync(asked.body.subarray(0, 100_000));
  const body = asked.right && asked.body.length <= 100_000 ? plain : damaged(dice, plain);
  const coding = asked.right ? 'gzip' : dice.pick(['gzip', 'gzip', 'deflate', 'br', 'gzip, gzip', '']);
  return { ...asked, body, headers: { ...asked.headers, 'content-encoding': coding, 'accept-encoding': 'gzip' } };
};

const NAMES = [...MODELS, OUTSIDE, CHAT, 'absent', '%', '%zz', '%00', '%2e%2e', '..', 'é', 'a'.repeat(3000), ' '];
const VERSIONS = [
  '',
  '/versions/1',
  '/versions/0',
  '/versions/-1',
  '/versions/1e9',
  '/versions/%00',
  '/versions/9999999999',
];
const VERBS = [
  '',
  '/ready',
  '/infer',
  '/config',
  '/stats',
  '/metadata',
  ':predict',
  ':explain',
  '/trace/setting',
  '/x',
];
const WHOLE = [
  '/v2',
  '/v2/',
  '/v2/health/live',
  '/v2/health/ready',
  '/v2/models',
  '/v2/models/stats',
  '/v1/models',
  '/v2//',
];

const odd: Kind = (dice) => {
  const path = dice.chance(0.2)
    ? dice.pick(WHOLE)
    : `/${dice.pick(['v1', 'v2'])}/models/${dice.pick(NAMES)}${dice.pick(VERSIONS)}${dice.pick(VERBS)}`;
  const method = dice.chance(0.6) ? 'GET' : 'POST';
  const body = method === 'GET' ? NONE : damagedJson(dice, { inputs: [], parameters: {} });
  // the pool's own client refuses what no request line can hold
  const written = encodeURI(path).replaceAll('%25', '%');
  return request(written, { method, body, foreign: true });
};

const repository: Kind = (dice) => {
  const path = dice.pick([
    '/v2/repository/index',
    '/v2/repository/models/absent/load',
    '/v2/repository/models/%/unload',
  ]);
  return request(path, { body: damagedJson(dice, { ready: true, parameters: { config: '{}', path: 'x' } }) });
};

const withOddHeaders: Kind = (dice) => {
  const asked = v2Json(dice);
  const value = dice.pick(['', '0', '-1', '1', 'x', '99999999999', 'é', 'a'.repeat(3000), '\t', '1,1', '{}']);
  const name = dice.pick(['sluice-revision', 'sluice-tag', 'traceparent', 'x-request-id', 'accept-encoding', 'sticky']);
  return { ...asked, right: false, headers: { [name]: Buffer.from(value).toString('latin1') } };
};

const SERVER_KINDS: readonly Kind[] = [v2Json, v2Json, v2Binary, v2Binary, v1, v1, odd, repository];
const GATEWAY_KINDS: readonly Kind[] = [...SERVER_KINDS, v2Json, openai, packed, withOddHeaders];
