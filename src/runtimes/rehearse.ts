import { createLog } from '../log.js';
import { JSON_HEADERS } from '../protocol/codecs/codec.js';
import type { EngineOptions, RehearsableKind } from './engine.js';
import type { RuntimeResponse } from './message.js';
import { ModelServer } from './server.js';

const NAME = 'rehearsal';
const INPUT = { name: 'x', datatype: 'FP32', shape: [1], data: [1] };
const TIMES = 3;

/**
 * Loads a tiny model and answers a few requests in a server of its own, so that a spare's first load and inference find
 * the library's first session, and the code of the whole way, already paid for.
 */
export async function rehearse(kind: RehearsableKind, defaults: EngineOptions): Promise<void> {
  const server = new ModelServer({
    name: NAME,
    version: '',
    findEngine: async () => ({ ...kind, create: kind.createSample }),
    framework: NAME,
    defaults,
    allowLoad: true,
    log: createLog({ level: 'silent', format: 'json' }),
  });
  const ask = (method: string, path: string, content: object) => {
    const body = Buffer.from(JSON.stringify(content));
    return new Promise<RuntimeResponse>((resolve) =>
      server.handle({ method, path, headers: JSON_HEADERS, body, signal: { aborted: false } }, resolve),
    );
  };
  await ask('POST', `/v2/repository/models/${NAME}/load`, { parameters: { path: NAME } });
  for (let time = 0; time < TIMES; time++) await ask('POST', `/v2/models/${NAME}/infer`, { inputs: [INPUT] });
  await ask('POST', `/v2/repository/models/${NAME}/unload`, {});
}
