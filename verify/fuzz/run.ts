/** Gives a port its inputs, some at once, each within its time. */
import { messageOf } from '../../src/errors.js';
import { inputDice } from './dice.js';
import type { Attempt, Port } from './port.js';

export interface Span {
  readonly seed: number;
  readonly first: number;
  readonly count: number;
}

/** Longest for one input, its connection's end included. */
const LIMIT_MS = 20_000;
/** A port with more faults than this is not asked further. */
const MOST_FAULTS = 10;
const SHOWN_BYTES = 400;

/** The faults, each with what it takes to send the same input again. */
export async function runPort(port: Port, { seed, first, count }: Span): Promise<string[]> {
  const faults: string[] = [];
  let next = first;
  const work = async () => {
    while (next < first + count && faults.length < MOST_FAULTS) {
      const index = next++;
      const attempt = port.make(inputDice(seed, port.name, index));
      const fault = await timed(attempt);
      if (fault === undefined) continue;
      const hex = attempt.bytes.toString('hex', 0, SHOWN_BYTES);
      const cut = attempt.bytes.length > SHOWN_BYTES ? `… (${attempt.bytes.length} bytes)` : '';
      faults.push(
        `${port.name}: ${fault}\n  ${attempt.about.slice(0, 500)}\n  ${hex}${cut}\n` +
          `  again with: --seed ${seed} --port ${port.name} --first ${index} --inputs 1`,
      );
    }
  };
  await Promise.all(Array.from({ length: port.atOnce }, work));
  return faults;
}

async function timed(attempt: Attempt): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, LIMIT_MS, `no end within ${LIMIT_MS} ms`);
  });
  try {
    return await Promise.race([attempt.run(), late]);
  } catch (error) {
    return `the connection broke: ${messageOf(error)}`;
  } finally {
    clearTimeout(timer);
  }
}
