/** What a pod asks a gateway for, as often as it takes: gateways come and go, and a pod that gave up would start again anyway. */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { AppError, asAppError, messageOf, WIRE } from '../../errors.js';
import type { Log } from '../../log.js';
import { isDigest } from './blob-files.js';
import { BlobSource } from './blob-source.js';
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
  private readonly source: BlobSource;

  constructor(
    private readonly url: string,
    private readonly tokenFile: string,
    private readonly log: Log,
  ) {
    this.source = new BlobSource(url, log);
  }

  /** Rejects only when this pod has nothing to ask for here. */
  model(): Promise<PodModel> {
    return this.patiently('the model', async () => {
      const answer = await get(`${this.url}/pods/v1/model`, { authorization: await this.authorization() });
      if (answer.statusCode !== 200) throw await refusal('the question for the model', answer);
      return readModel(await readAll(answer, MODEL_BYTES));
    });
  }

  /** A blob's bytes from the one at `start` on, or from the first one: the answer's status says which (206 or 200). */
  async blob(digest: string, start: number): Promise<IncomingMessage> {
    return this.source.open(await this.authorization(), digest, start);
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

  private async authorization(): Promise<string> {
    // read each time: the kubelet renews it
    const token = await readFile(this.tokenFile, 'utf8').catch((error) => {
      throw new AppError('not_ready', `cannot read --token-file: ${messageOf(error)}`);
    });
    return `Bearer ${token.trim()}`;
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
    isDigest(model.digest) &&
    (model.entry === '' || plain(model.entry)) &&
    Array.isArray(model.files) &&
    model.files.every(({ path, digest, bytes }) => plain(path) && isDigest(digest) && Number.isSafeInteger(bytes));
  if (!whole) throw new AppError('invalid', `the gateway's answer is no model: ${body.toString('utf8').slice(0, 300)}`);
  return model;
}
