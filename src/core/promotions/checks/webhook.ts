/** Somebody else's verdict: the evidence so far is posted to an address, which answers whether the gate is passed. */
import { z } from 'zod';
import { deadline, joinSignals } from '../../../abort.js';
import { AppError, messageOf } from '../../../errors.js';
import { signedHeaders } from '../../webhooks/signature.js';
import { webhookSecret } from '../../webhooks/store.js';
import type { GateOf } from '../gate.js';
import type { Check, Checked } from './check.js';

const FIRST_WAIT_MS = 1000;
const MOST_REASON = 2000;

const verdictSchema = z.object({ passed: z.boolean(), reason: z.string().default('') });

export async function checkWebhook(check: Check, gate: GateOf<'webhook'>): Promise<Checked> {
  const { deps, input, before, signal } = check;
  const { round, ...subject } = input.subject;
  // the same for every try, also one of another worker: a receiver can tell a repeat
  const id = `${subject.promotion}-${round}-${before.length}`;
  const body = JSON.stringify({
    type: 'promotion.gate',
    ...subject,
    champion: input.serving?.version ?? null,
    metrics: input.candidate.metrics,
    gates: before,
  });
  const secret = await webhookSecret(deps.db, input.project);
  const asked = (tries: number) => ({ url: gate.url, tries });
  for (let tries = 1; ; tries++) {
    let problem: string;
    let final = false;
    try {
      const { passed, reason } = await ask(check, gate, { id, body, secret });
      const said = reason.slice(0, MOST_REASON) || 'without a reason';
      return {
        outcome: { passed, reason: `${new URL(gate.url).host} says ${passed ? 'yes' : 'no'}: ${said}` },
        evidence: { ...asked(tries), passed, reason: reason.slice(0, MOST_REASON) },
      };
    } catch (error) {
      signal.throwIfAborted();
      problem = messageOf(error);
      final = error instanceof AppError && error.code === 'forbidden';
    }
    if (final || tries > gate.retries) {
      const reason = `${new URL(gate.url).host} gave no verdict in ${tries} ${tries === 1 ? 'try' : 'tries'}: ${problem}`;
      return { outcome: { passed: false, reason }, evidence: asked(tries) };
    }
    await deps.clock.sleep(FIRST_WAIT_MS * 2 ** (tries - 1), signal);
  }
}

async function ask(
  { deps, signal }: Check,
  gate: GateOf<'webhook'>,
  { id, body, secret }: { readonly id: string; readonly body: string; readonly secret: string },
): Promise<z.infer<typeof verdictSchema>> {
  const late = deadline(gate.timeoutSec * 1000);
  const joined = joinSignals([signal, late.signal]);
  try {
    const timestampSec = Math.floor(Date.now() / 1000);
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'sluice-webhooks',
      ...signedHeaders(secret, { id, timestampSec, body }),
    };
    const answer = await deps.askWebhook({ url: gate.url, headers, body, signal: joined.signal });
    if (answer.status < 200 || answer.status > 299)
      throw new AppError('upstream_failed', `it answered ${answer.status}`);
    return verdictOf(answer.body);
  } catch (error) {
    if (late.signal.aborted) throw new AppError('timeout', `no answer within ${gate.timeoutSec} s`);
    throw error;
  } finally {
    joined.release();
    late.release();
  }
}

function verdictOf(body: string): z.infer<typeof verdictSchema> {
  try {
    return verdictSchema.parse(JSON.parse(body));
  } catch {
    throw new AppError('upstream_failed', 'its answer is not {"passed": true or false, "reason": "…"}');
  }
}
