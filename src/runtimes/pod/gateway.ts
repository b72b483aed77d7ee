/** What a pod asks a gateway for, as often as it takes: gateways come and go, and a pod that gave up would start again anyway. */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { AppError, asAppError, messageOf, WIRE } from '../../errors.js';
import type { Log } from '../../log.js';
import { get, readAll, refusal } from './http-get.js';

export interface ModelFile {
  readonly path: string;
  readonly digest: string;
  readonly bytes: number;
}

/** The model that this pod serves. */
export interface PodModel {
  readonly name: string;
  readonly version: string;
  readonly framework: string;
  /** Relative to the files; empty: all of them. */
  readonly entry: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly digest: string;
  readonly files: readonly ModelFile[];
}

const MODEL_BYTES = 64 * 1024 * 1024;
const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 5_000;
/** One who has waited so long says so again. */
const SAY_AGAIN_MS = 15_000;

export class Gateway {
  /** Whether files are to come through the gateway: where it points to cannot be reached from here. */
  private direct = false;

  constructor(
    private readonly url: string,
    private readonly tokenFile: string,
    private readonly log: Log,
  ) {}

  /** Rejects only when this pod has nothing to ask for here. */
  model(): Promise<PodModel> {
    return this.patiently('the model', async () => {
      const answer = await this.ask('/pods/v1/model');
      if (answer.statusCode !== 200) throw await refusal('the question for the model', answer);
      return readModel(await readAll(answer, MODEL_BYTES));
    });
  }

  /** A blob's bytes from the one at `start` on, or from the first one: the answer's status says which (206 or 200). */
  async blob(digest: string, start: number): Promise<IncomingMessage> {
    const range: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
    const path = `/pods/v1/blobs/${digest}`;
    if (!this.direct) {
      const answer = await this.ask(path, range);
      const { location } = answer.headers;
      if (answer.statusCode !== 307 || location === undefined) return this.checked(digest, answer);
      answer.destroy();
      const pointed = await this.follow(location, range);
      if (pointed) return pointed;
      this.direct = true;
    }
    return this.checked(digest, await this.ask(`${path}?redirect=false`, range));
  }

  /** Does the work again, with growing waits, while it fails for reasons that pass. */
  async patiently<T>(what: string, work: () => Promise<T>): Promise<T> {
    let saidMs = Number.NEGATIVE_INFINITY;
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(MAX_WAIT_MS, waitMs * 2)) {
      try {
        return await work();
      } catch (error) {
        const failure = asAppError(error);
        if (!passes(failure)) throw failure;
        if (performance.now() - saidMs > SAY_AGAIN_MS) {
          saidMs = performance.now();
          this.log.warn(`waiting for ${what}: it is asked for again`, { gateway: this.url, error: failure.message });
        }
        const wanted = Math.max(waitMs, Math.min(MAX_WAIT_MS, (failure.retryAfterSec ?? 0) * 1000));
        await new Promise((resolve) => setTimeout(resolve, wanted * (0.5 + Math.random() / 2)));
      }
    }
  }

  private async ask(path: string, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
    // read each time: the kubelet renews it
    const token = await readFile(this.tokenFile, 'utf8').catch((error) => {
      throw new AppError('not_ready', `cannot read --token-file: ${messageOf(error)}`);
    });
    return get(`${this.url}${path}`, { authorization: `Bearer ${token.trim()}`, ...headers });
  }

  /** Asks where it was pointed to, without the token, which is nobody else's business. Undefined when that leads nowhere. */
  private async follow(
    location: string,
    range: Readonly<Record<string, string>>,
  ): Promise<IncomingMessage | undefined> {
    const { origin } = new URL(location);
    try {
      const answer = await get(location, range);
      if (answer.statusCode === 200 || answer.statusCode === 206) return answer;
      throw await refusal('the blob', answer);
    } catch (error) {
      this.log.warn('the blob store cannot be asked; files come through the gateway', {
        store: origin,
        error: messageOf(error),
      });
      return undefined;
    }
  }

  private async checked(digest: string, answer: IncomingMessage): Promise<IncomingMessage> {
    if (answer.statusCode === 200 || answer.statusCode === 206) return answer;
    throw await refusal(`the question for ${digest}`, answer);
  }
}

/** A token may be old for a moment; what is not there, not ours or not understood stays so. */
function passes({ code }: AppError): boolean {
  return WIRE[code].retry || code === 'unauthenticated' || code === 'internal';
}

/** The answer is a gateway's, whose program may be another version's: what is needed is looked at, no more. */
function readModel(body: Buffer): PodModel {
  const model = JSON.parse(body.toString('utf8')) as PodModel;
  const isText = (value: unknown) => typeof value === 'string';
  const plain = (path: unknown) =>
    typeof path === 'string' && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  const whole =
    [model.name, model.version, model.framework, model.entry, model.digest].every(isText) &&
    /^sha256:[0-9a-f]{64}$/.test(model.digest) &&
    (model.entry === '' || plain(model.entry)) &&
    Array.isArray(model.files) &&
    model.files.every(
      ({ path, digest, bytes }) => plain(path) && /^sha256:[0-9a-f]{64}$/.test(digest) && Number.isSafeInteger(bytes),
    );
  if (!whole) throw new AppError('invalid', `the gateway's answer is no model: ${body.toString('utf8').slice(0, 300)}`);
  return model;
}
