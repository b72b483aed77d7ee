/** Blobs' bytes, from the gateways or from where these point to. */
import type { IncomingMessage } from 'node:http';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log.js';
import { get, refusal } from './http-get.js';

/** For how long files come through the gateways after where they point to could not be reached from here. */
const THROUGH_GATEWAYS_MS = 60_000;

export class BlobSource {
  private throughGatewaysUntil = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly url: string,
    private readonly log: Log,
  ) {}

  /** A blob's bytes from the one at `start` on, or from the first one: the answer's status says which (206 or 200). */
  async open(authorization: string, digest: string, start: number): Promise<IncomingMessage> {
    const range: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
    const url = `${this.url}/pods/v1/blobs/${digest}`;
    if (performance.now() > this.throughGatewaysUntil) {
      const answer = await get(url, { authorization, ...range });
      const { location } = answer.headers;
      if (answer.statusCode !== 307 || location === undefined) return this.checked(digest, answer);
      answer.destroy();
      const pointed = await this.follow(location, range);
      if (pointed) return pointed;
      this.throughGatewaysUntil = performance.now() + THROUGH_GATEWAYS_MS;
    }
    return this.checked(digest, await get(`${url}?redirect=false`, { authorization, ...range }));
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
