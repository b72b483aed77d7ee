import type { Cleanup } from '../support/cleanup.js';
import type { Target } from '../support/sample.js';
import type { CaseName } from './cases.js';

/** What a peer is started with. */
export interface StartOptions {
  /** The only core that it may use; undefined: any. */
  readonly core: number | undefined;
  /** A folder of its own, removed afterwards. */
  readonly folder: string;
  /** Path of the ONNX model that it serves as `digits`, with one intra-op and one inter-op thread. */
  readonly model: string;
  readonly cleanup: Cleanup;
}

export interface RunningPeer extends Target {
  /** Where it takes gRPC calls, host:port; undefined where it takes none. */
  readonly grpcUrl?: string | undefined;
  /** From the start of its process to its first good prediction. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

export interface InstalledPeer {
  /** What was installed, with versions. */
  readonly versions: string;
  start(options: StartOptions): Promise<RunningPeer>;
}

/** A program that does Sluice's work, or a part of it; or the least program that could. One folder each. */
export interface Peer {
  readonly name: string;
  /** Servers run the model; proxies stand in front of two ports of floor-node and split 90 to 10; floors do the least. */
  readonly kind: 'sluice' | 'floor' | 'server' | 'proxy';
  /** One line: what it is, and how it is set up. */
  readonly about: string;
  /** What it is measured at; the others it does not offer. */
  readonly cases: readonly CaseName[];
  /** It takes JSON in its own form of nested rows, not in the protocol's. */
  readonly ownJson?: boolean;
  /** It answers without having predicted anything. */
  readonly echo?: boolean;
  /** Makes sure that it can be started here; throws, with the reason, where it cannot. Slow the first time. */
  install(): Promise<InstalledPeer>;
}
