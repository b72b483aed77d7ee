/** What the checks of gates work with, and what they answer. */
import type { Clock } from '../../../clock.js';
import type { Signature } from '../../../protocol/signature.js';
import type { Blobs } from '../../blobs.js';
import type { LoadedModel, Sandbox } from '../../fleet.js';
import type { Servable } from '../../models/model.js';
import type { Db } from '../../schema.js';
import type { AskWebhook } from '../../webhooks/ask.js';
import type { Gate } from '../gate.js';
import type { GateOutcome } from '../judge.js';
import type { GateResult } from '../promotion.js';

export interface GateDeps {
  readonly db: Db;
  readonly blobs: Blobs;
  readonly sandbox: Sandbox;
  readonly askWebhook: AskWebhook;
  readonly clock: Clock;
}

export interface GateInput {
  readonly project: string;
  /** What is promoted, for those who are asked about it. */
  readonly subject: {
    readonly promotion: string;
    readonly endpoint: string;
    readonly model: string;
    readonly version: number;
    readonly round: number;
  };
  readonly gates: readonly Gate[];
  readonly candidate: { readonly model: Servable; readonly metrics: Readonly<Record<string, number>> };
  /** What the endpoint serves now. */
  readonly serving: { readonly model: Servable; readonly signature: Signature; readonly version: number } | undefined;
}

/** One gate's check of a candidate that is loaded. */
export interface Check {
  readonly deps: GateDeps;
  readonly input: GateInput;
  readonly candidate: LoadedModel;
  /** The gates before it. */
  readonly before: readonly GateResult[];
  readonly signal: AbortSignal;
}

export interface Checked {
  readonly outcome: GateOutcome;
  /** The numbers and digests that it was decided on. */
  readonly evidence: Readonly<Record<string, unknown>>;
}

/** Loads what serves now beside the candidate, where something does. */
export function withChampion<T>(
  { deps, input }: Check,
  use: (champion: LoadedModel | undefined) => Promise<T>,
): Promise<T> {
  return input.serving ? deps.sandbox.withModel(input.serving.model, use) : use(undefined);
}
