/** What is wrong before any body is: requests of HTTP/1.1 whose framing is bad, doubtful, or made to smuggle another one. */
import { faultOf } from './answers.js';
import { converse, cutAt } from './connection.js';
import type { Dice } from './dice.js';
import { readAnswers } from './http1-answers.js';
import { damaged } from './mutate.js';
import type { Attempt, Port } from './port.js';
import { question, v2Body } from './questions.js';

/** In the path of a request that hides behind another one. An answer that knows it has read it. */
const SMUGGLED = 'smuggled';
const HIDDEN = `GET /v2/models/${SMUGGLED} HTTP/1.1\r\nHost: x\r\n\r\n`;

/** Bytes to send; `hides`: no answer may know of what is hidden in them. */
interface Heads {
  readonly text: string;
  readonly hides: boolean;
}

type Kind = (dice: Dice, valid: Valid) => Heads;

interface Valid {
  readonly line: string;
  readonly fields: readonly string[];
  readonly body: string;
}

const written = ({ line, fields, body }: Valid) => [line, ...fields, '', body].join('\r\n');
const lengthOf = (body: string) => `Content-Length: ${body.length}`;
const plain = (text: string): Heads => ({ text, hides: false });

const chunked = (body: string, size: string) => `${size}\r\n${body}\r\n0\r\n\r\n`;

/** Two statements about one length: whichever is believed, the other reader's body is a request. */
const SMUGGLING: readonly ((body: string) => readonly string[])[] = [
  (body) => [lengthOf(body), 'Transfer-Encoding: chunked'],
  (body) => ['Transfer-Encoding: chunked', lengthOf(body)],
  (body) => [lengthOf(body), `Content-Length: ${body.length + HIDDEN.length}`],
  (body) => [`Content-Length: ${body.length}, ${body.length + 1}`],
  () => ['Transfer-Encoding: xchunked'],
  (body) => ['Transfer-Encoding : chunked', lengthOf(body)],
  (body) => [`Content-Length: +${body.length}`],
  (body) => [`Content-Length: 0x${body.length.toString(16)}`],
  (body) => [`Content-Length: -${body.length}`],
  (body) => [`Content-Length: ${body.length} 1`],
  (body) => [` ${lengthOf(body)}`],
  (body) => [`Content-Length:\r\n ${body.length + 1}`, lengthOf(body)],
  (body) => [`X: y\n${lengthOf(body)}`, 'Transfer-Encoding: chunked'],
  (body) => [`${lengthOf(body)}\x00`],
  (body) => [`Content-Length\x00: 5`, lengthOf(body), 'Transfer-Encoding:\x0bchunked'],
];

const KINDS: readonly Kind[] = [
  (_dice, valid) => plain(written(valid)),
  (dice, valid) => plain(damaged(dice, Buffer.from(written(valid), 'latin1')).toString('latin1')),
  (dice, { line, fields, body }) => ({
    text: written({ line, fields: [...fields, ...dice.pick(SMUGGLING)(body)], body: body + HIDDEN }),
    hides: true,
  }),
  // pipelining
  (dice, valid) => plain(written(valid).repeat(2 + dice.below(6))),
  (dice, valid) => plain(`${written(valid)}GET ${dice.pick(PATHS)} HTTP/1.1\r\nHost: x\r\n\r\n${written(valid)}`),
  // chunks, good ones and garbage
  (dice, { line, fields, body }) => {
    const size = dice.pick([
      body.length.toString(16),
      body.length.toString(16),
      '',
      '-1',
      'g',
      'ffffffffffffffff',
      '0',
      '1;x=y',
    ]);
    return plain(written({ line, fields: [...fields, 'Transfer-Encoding: chunked'], body: chunked(body, size) }));
  },
  (dice, { line, fields, body }) => {
    const form = written({
      line,
      fields: [...fields, 'Transfer-Encoding: chunked'],
      body: chunked(body, body.length.toString(16)),
    });
    return plain(damaged(dice, Buffer.from(form, 'latin1')).toString('latin1'));
  },
  // line ends and folded lines
  (_dice, valid) => plain(written(valid).replaceAll('\r\n', '\n')),
  (dice, { line, fields, body }) =>
    plain(written({ line, fields: ['A: b\r\n c', ...fields].slice(dice.below(2)), body })),
  // a length that is never reached, and one that is enormous
  (dice, { line, fields, body }) => {
    const length = dice.pick(['9', '999999', '67108865', '4294967296', '9007199254740993', '1'.repeat(30)]);
    return plain(
      written({
        line,
        fields: [...fields.filter((field) => !field.startsWith('Content-L')), `Content-Length: ${length}`],
        body,
      }),
    );
  },
  (dice, { fields, body }) => plain(written({ line: dice.pick(LINES), fields, body })),
  (dice, { line, fields, body }) => plain(written({ line, fields: [...fields, dice.pick(FIELDS)], body })),
  (dice, { line, fields, body }) => {
    const many = Array.from({ length: 1 + dice.below(3000) }, (_, at) => `X-${at}: ${dice.below(1000)}`);
    return plain(written({ line, fields: [...fields, ...many], body }));
  },
  (dice) => plain(dice.bytes(dice.below(300)).toString('latin1')),
];

const PATHS = ['/v2', '/healthz', '/api/v1/whoami', '/v1/models', '/nothing', '/v2/models/add/ready'];
const LINES = [
  ...[
    '',
    'GET',
    'GET /v2',
    'GET /v2 HTTP/1.0',
    'GET /v2 HTTP/0.9',
    'GET /v2 HTTP/1.2',
    'GET /v2 HTTP/2.0',
    'get /v2 HTTP/1.1',
  ],
  ...[
    'GET http://x/v2 HTTP/1.1',
    'OPTIONS * HTTP/1.1',
    'CONNECT x:1 HTTP/1.1',
    'PRI * HTTP/2.0',
    'PATCH /v2 HTTP/1.1',
    'G\x00T /v2 HTTP/1.1',
  ],
  ...[
    'GET  /v2  HTTP/1.1',
    'GET /v2 x HTTP/1.1',
    'GET /v2\tHTTP/1.1',
    `GET /${'a'.repeat(20_000)} HTTP/1.1`,
    'POST /v2/\xff HTTP/1.1',
  ],
];
const FIELDS = [
  ...[
    'Expect: 100-continue',
    'Expect: x',
    'Connection: close',
    'Connection: upgrade',
    'Upgrade: h2c',
    'Upgrade: websocket',
  ],
  ...[
    'Host: y',
    ': x',
    'x',
    'a b: c',
    'X: \x01',
    'Connection: close, keep-alive',
    'TE: trailers',
    'Trailer: x',
    'Cookie: \xff',
  ],
  ...[
    `X: ${'y'.repeat(9000)}`,
    `X: ${'y'.repeat(70_000)}`,
    'Keep-Alive: timeout=0',
    'Content-Type: \x7f',
    'Authorization: Basic \xff',
  ],
];
/** An expectation that is not known is refused by Node's server, without a body. */
const BARE = new Set([417]);

export function headsPort(port: number, key: string): Port {
  return {
    name: 'heads',
    share: 0.14,
    atOnce: 24,
    make(dice): Attempt {
      const asked = question(dice);
      const body = v2Body(asked, false).body.toString('latin1');
      const line = `POST /v2/models/${asked.model}/infer HTTP/1.1`;
      const fields = ['Host: x', `Authorization: Bearer ${key}`, lengthOf(body)];
      const kind = dice.pick(KINDS);
      const withLength = kind !== KINDS[2] && kind !== KINDS[5] && kind !== KINDS[6];
      const { text, hides } = kind(dice, { line, fields: withLength ? fields : fields.slice(0, 2), body });
      const bytes = Buffer.from(text, 'latin1');
      const cuts = Array.from({ length: dice.below(3) }, () => dice.below(bytes.length + 1));
      const waits = dice.chance(0.7);
      const pieces = cutAt(bytes, cuts);
      return {
        about: `heads of kind ${KINDS.indexOf(kind)}${waits ? ', waiting' : ''}, cut at ${cuts}`,
        bytes,
        async run() {
          const to = { port, host: '127.0.0.1' };
          const wants = (received: Buffer) => readAnswers(received).answers.length > 0;
          const received = await converse({ to, pieces, ...(waits ? { enough: wants } : {}) });
          if (hides && received.includes(SMUGGLED)) return `a hidden request was answered: ${received}`;
          const { answers, fault } = readAnswers(received);
          if (fault !== undefined) return fault;
          return answers.map(faultOfHead).find((found) => found !== undefined);
        },
      };
    },
  };
}

function faultOfHead(answer: Parameters<typeof faultOf>[0]): string | undefined {
  if (BARE.has(answer.status) && answer.body.length === 0) return undefined;
  // the control API's paths are among them
  return faultOf(answer, 'inference') && faultOf(answer, 'control');
}
