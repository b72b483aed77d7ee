import type { GatewayProcess } from '../../tests/support/gateway-process.js';
import type { VerificationResult } from '../verification.js';

export interface PartOptions {
  readonly gateway: GatewayProcess;
  /** Where the part may put its files. */
  readonly folder: string;
  /** The gateway's cache folder, kept between runs; its Python environments are in `environments`. */
  readonly cacheDir: string;
}

/** One engine's comparison with the library that it stands for. */
export type Part = (options: PartOptions) => Promise<VerificationResult>;
