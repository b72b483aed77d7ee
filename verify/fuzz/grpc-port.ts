/** gRPC calls whose messages, prefixes and metadata are damaged, many at once on a few connections. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { deflateSync, gzipSync } from 'node:zlib';
import { writeModelInferRequest } from '../../src/protocol/grpc/infer-request.js';
import { grpcMessage } from '../../tests/support/http2-frames.js';
import { grpcFaultOf } from './answers.js';
import type { Dice } from './dice.js';
import { damaged } from './mutate.js';
import type { Attempt, Port } from './port.js';
import { inferRequest, OUTSIDE, question } from './questions.js';

const SERVICE = '/inference.GRPCInferenceService';
const METHODS = [
  ...['ModelInfer', 'ModelInfer', 'ModelInfer', 'ModelStreamInfer', 'ModelStreamInfer', 'ServerLive', 'ServerReady'],
  ...['ModelReady', 'ModelMetadata', 'ServerMetadata', 'ModelConfig', 'ModelStatistics', 'RepositoryIndex', 'Nothing'],
];
const CONNECTIONS = 4;

interface Call {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** It must be answered with OK. */
  readonly right: boolean;
  readonly foreign: boolean;
}

export function grpcPort(url: string, key: string): Port {
  const sessions: ClientHttp2Session[] = [];
  const session = (at: number): ClientHttp2Session => {
    const open = sessions[at];
    if (open && !open.closed && !open.destroyed) return open;
    const made = connect(url);
    made.on('error', () => {});
    sessions[at] = made;
    return made;
  };
  return {
    name: 'grpc',
    share: 0.15,
    atOnce: 32,
    async close() {
      for (const open of sessions) open.destroy();
    },
    make(dice): Attempt {
      const asked = callOf(dice);
      const headers = { authorization: `Bearer ${key}`, ...asked.headers };
      const at = dice.below(CONNECTIONS);
      return {
        about: `${asked.path} ${JSON.stringify(asked.headers)}`,
        bytes: asked.body,
        run: () => send(session(at), { ...asked, headers }),
      };
    },
  };
}

function callOf(dice: Dice): Call {
  const asked = question(dice);
  const raw = dice.chance(0.5);
  const model = { modelName: asked.model, modelVersion: undefined };
  const message = Buffer.concat(writeModelInferRequest(model, inferRequest(asked, { id: 'f' }), raw));
  const foreign = asked.model === OUTSIDE;
  if (dice.chance(0.1)) {
    return { path: `${SERVICE}/ModelInfer`, headers: {}, body: grpcMessage(message), right: true, foreign };
  }
  const kept = dice.chance(0.15) ? message : damaged(dice, message);
  const path = dice.chance(0.03) ? '/grpc.health.v1.Health/Check' : `${SERVICE}/${dice.pick(METHODS)}`;
  return { path, headers: oddHeaders(dice), body: wrapped(dice, kept), right: false, foreign };
}

/** The message behind its prefix, right or wrong, alone or among others. */
function wrapped(dice: Dice, message: Buffer): Buffer {
  switch (dice.below(12)) {
    case 0:
      return damaged(dice, grpcMessage(message));
    case 1:
      return grpcMessage(message, 1 + dice.below(255));
    case 2:
      return grpcMessage(gzipSync(message), 1);
    case 3:
      return grpcMessage(damaged(dice, dice.chance(0.5) ? deflateSync(message) : gzipSync(message)), 1);
    case 4:
      return Buffer.concat(Array.from({ length: 1 + dice.below(5) }, () => grpcMessage(damaged(dice, message))));
    case 5:
      return Buffer.concat([grpcMessage(message), grpcMessage(message).subarray(0, dice.below(12))]);
    case 6:
      return dice.bytes(dice.below(20));
    default:
      return grpcMessage(message);
  }
}

function oddHeaders(dice: Dice): Record<string, string> {
  if (dice.chance(0.6)) return {};
  const name = dice.pick([
    'grpc-encoding',
    'grpc-timeout',
    'grpc-accept-encoding',
    'content-type',
    'x-bin',
    'sluice-tag',
  ]);
  const value = dice.pick([
    'gzip',
    'deflate',
    'identity',
    'br',
    '',
    '1S',
    '1000m',
    '99999999H',
    '999999999S',
    '-1S',
    'x',
    '0n',
  ]);
  return {
    [name]: name === 'content-type' ? `application/grpc${dice.pick(['', '+proto', '+json', 'x', '-web'])}` : value,
  };
}

/** What ends a call whose head gRPC does not read: HTTP says why. */
const PLAIN = new Set(['405', '415']);

function send(session: ClientHttp2Session, { path, headers, body, right, foreign }: Call): Promise<string | undefined> {
  return new Promise((resolve) => {
    const stream = session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
      ...headers,
    });
    let ended: Record<string, unknown> = {};
    const note = (fields: object) => {
      ended = { ...ended, ...fields };
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('error', (error) => resolve(`the stream broke: ${error.message}`));
    stream.resume();
    stream.on('close', () => {
      const status = ended['grpc-status'];
      const http = String(ended[':status'] ?? '');
      if (status === undefined && PLAIN.has(http)) return resolve(undefined);
      const text = status === undefined ? undefined : String(status);
      if (right && text !== '0') return resolve(`a right call has status ${text}: ${ended['grpc-message']}`);
      // its server's failure is UNAVAILABLE, a short deadline DEADLINE_EXCEEDED
      if (foreign && text === '14') return resolve(undefined);
      resolve(grpcFaultOf(text, ended['grpc-message'] === undefined ? undefined : String(ended['grpc-message'])));
    });
    stream.end(body);
  });
}
