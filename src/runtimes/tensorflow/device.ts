import type { TensorFlowOptions } from './options.js';

/** Where a session computes, by the types of its devices, and what is to be said when that is not what was wanted. */
export function deviceOf(
  types: readonly string[],
  wanted: TensorFlowOptions['device'],
): { device: string; notes: readonly string[] } {
  if (types.includes('GPU')) return { device: 'gpu:0', notes: [] };
  const notes =
    wanted === 'gpu'
      ? [
          'A GPU was wanted, and TensorFlow found none: it computes on the CPU. Either there is none that its driver makes ' +
            'known here, or CUDA is missing, or this build of TensorFlow is for the CPU alone ' +
            '(`sluice engines install tensorflow --cuda` installs the other one).',
        ]
      : [];
  return { device: 'cpu', notes };
}
