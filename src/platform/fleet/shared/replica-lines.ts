/** Connections to replicas that another process holds: one a replica, made when it is first needed. */
import type { Forward } from '../../../core/inference/forward.js';
import type { ReplicaAddress } from '../../../core/inference/pool.js';
import { openHttpUpstream } from '../../upstream/http-upstream.js';
import { connectReplica } from '../../upstream/replica-connection.js';
import { pastIngress } from '../ingress-answers.js';

interface Line {
  /** A promise as long as it is being made. */
  forward: Promise<Forward> | Forward;
  close(): void;
  usedAt: number;
}

/** A server that was not asked for so long is let go. */
const IDLE_MS = 5 * 60_000;
const LOOK_MS = 60_000;

export class ReplicaLines {
  private readonly lines = new Map<string, Line>();
  private readonly looking = setInterval(() => this.dropIdle(), LOOK_MS).unref();

  /** The way to a replica; rejects where it cannot be reached. */
  to(address: ReplicaAddress): Promise<Forward> | Forward {
    const key = address.kind === 'socket' ? address.path : `${address.url} ${address.host ?? ''}`;
    let line = this.lines.get(key);
    if (!line) {
      line = address.kind === 'socket' ? this.connect(key, address.path) : httpLine(address);
      this.lines.set(key, line);
    }
    line.usedAt = performance.now();
    return line.forward;
  }

  close(): void {
    clearInterval(this.looking);
    for (const line of this.lines.values()) line.close();
    this.lines.clear();
  }

  private connect(key: string, path: string): Line {
    const forget = () => {
      if (this.lines.get(key) === line) this.lines.delete(key);
    };
    const made = connectReplica(path).then((connection) => {
      void connection.closed.then(forget);
      line.forward = connection.forward;
      line.close = () => connection.close();
      return connection.forward;
    });
    made.catch(forget);
    const line: Line = { forward: made, close: () => void made.then(() => line.close()), usedAt: 0 };
    return line;
  }

  /** A socket closes with its server; connections over HTTP do not tell. */
  private dropIdle(): void {
    const now = performance.now();
    for (const [key, line] of this.lines) {
      if (now - line.usedAt < IDLE_MS) continue;
      this.lines.delete(key);
      line.close();
    }
  }
}

function httpLine(address: Extract<ReplicaAddress, { kind: 'http' }>): Line {
  const { forward, close } = openHttpUpstream(address);
  const { ingress } = address;
  return { forward: ingress ? pastIngress(forward, ingress) : forward, close: () => void close(), usedAt: 0 };
}
