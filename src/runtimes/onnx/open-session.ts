import { messageOf } from '../../errors.js';
import { deviceName, fallbackNote, lookAtMachine, planDevice, reasonFor, refusal } from './device.js';
import type { OrtLibrary } from './library.js';
import type { OnnxOptions } from './options.js';
import type { ProviderRequest } from './provider-options.js';
import { type ModelSource, Session } from './session.js';
import { appendProvider, withSessionOptions } from './session-options.js';
import { OrtError } from './status.js';

export interface Opened {
  readonly session: Session;
  readonly device: string;
  readonly notes: readonly string[];
}

interface Skipped {
  readonly request: ProviderRequest;
  readonly reason: string;
}

/** Loads a model where its options want it, or where they allow. Rejects with an OrtError when the model is to blame. */
export async function openSession(library: OrtLibrary, source: ModelSource, options: OnnxOptions): Promise<Opened> {
  const machine = lookAtMachine(library.folder);
  const plan = planDevice(options, machine);
  const skipped: Skipped[] = [];
  const skip = (request: ProviderRequest, error: unknown) => {
    if (!(error instanceof OrtError)) throw error;
    skipped.push({ request, reason: reasonFor(request, machine, messageOf(error)) });
  };
  const opened = await withSessionOptions(library, options, async (pointer) => {
    const used: ProviderRequest[] = [];
    for (const request of plan.providers) {
      await appendProvider(library, pointer, request).then(
        () => used.push(request),
        (error: unknown) => skip(request, error),
      );
    }
    const [first] = used;
    if (plan.providers.length > 0 && !first) return undefined;
    try {
      const session = await Session.open(library, source, pointer);
      return { session, device: first ? deviceName(first) : 'cpu' };
    } catch (error) {
      if (!first) throw error;
      skip(first, error);
      return undefined;
    }
  });
  const [failed] = skipped;
  if (!opened && failed && !plan.mayFallBack) throw refusal(failed.request, failed.reason);
  const { session, device } = opened ?? (await openOnCpu(library, source, options));
  const instead = device === 'cpu' ? 'the CPU' : device;
  const notes = skipped.map(({ request, reason }) => fallbackNote(request, reason, instead));
  return { session, device, notes: [...plan.notes, ...notes] };
}

function openOnCpu(library: OrtLibrary, source: ModelSource, options: OnnxOptions) {
  return withSessionOptions(library, options, async (pointer) => ({
    session: await Session.open(library, source, pointer),
    device: 'cpu',
  }));
}
