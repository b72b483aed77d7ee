/** On what a model is to compute, and what is said when that is not to be had. Pure but for the last function. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../../errors.js';
import type { OnnxOptions } from './options.js';
import type { ProviderRequest } from './provider-options.js';

/** What is tried, before the processor, which every session has. */
export interface DevicePlan {
  readonly providers: readonly ProviderRequest[];
  /** Whether a model may compute on the processor when none of them is to be had. */
  readonly mayFallBack: boolean;
  readonly notes: readonly string[];
}

/** What there is on this machine. */
export interface Machine {
  /** Whether the library of the CUDA provider lies beside ONNX Runtime's. */
  readonly cudaBuild: boolean;
  /** Whether NVIDIA's driver says that there is a GPU. */
  readonly nvidiaGpu: boolean;
}

const CUDA: ProviderRequest = { name: 'cuda', settings: {} };
const INSTALL = '`sluice engines install onnx --cuda` installs it';

export function planDevice({ device, providers }: OnnxOptions, machine: Machine): DevicePlan {
  const others = providers?.filter(({ name }) => name !== 'cpu');
  if (device === 'cpu') {
    if (others === undefined || others.length === 0) return { providers: [], mayFallBack: true, notes: [] };
    throw new AppError('invalid', `device is cpu, and executionProviders names ${others[0]?.name}`);
  }
  if (others !== undefined) {
    if (device === 'gpu' && others.length === 0)
      throw new AppError('invalid', 'device is gpu, and executionProviders names cpu alone');
    return { providers: others, mayFallBack: device === 'auto', notes: [] };
  }
  if (device === 'gpu') return { providers: [CUDA], mayFallBack: false, notes: [] };
  if (machine.cudaBuild) return { providers: [CUDA], mayFallBack: true, notes: [] };
  const notes = machine.nvidiaGpu ? [`This machine has an NVIDIA GPU, which ONNX models could use (${INSTALL}).`] : [];
  return { providers: [], mayFallBack: true, notes };
}

/** Why a provider cannot be used, as a sentence's end. */
export function reasonFor({ name }: ProviderRequest, machine: Machine, message: string): string {
  if ((name === 'cuda' || name === 'tensorrt') && !machine.cudaBuild)
    return `ONNX Runtime's build for it is missing (${INSTALL})`;
  const missing = /(lib[\w.+-]+\.so[\w.]*): cannot open shared object file/.exec(message)?.[1];
  if (missing === 'libcuda.so.1') return "libcuda.so.1 is missing: NVIDIA's driver is not installed here";
  if (missing !== undefined) return `${missing} is missing`;
  // the rest is where in ONNX Runtime's sources, and with what types, it was noticed
  return /CUDA failure \d+: [^;]*[^; ]/.exec(message)?.[0] ?? message;
}

/** What metadata calls the device of a provider. */
export function deviceName({ name, settings }: ProviderRequest): string {
  return name === 'cuda' || name === 'tensorrt' ? `cuda:${settings.device_id ?? '0'}` : name;
}

/** The note that one provider was wanted, and what is used in its place. */
export function fallbackNote({ name }: ProviderRequest, reason: string, instead: string): string {
  return `${LABELS[name]} was wanted, but ${reason}: computing on ${instead}.`;
}

/** Refuses a load that may not fall back. */
export function refusal({ name }: ProviderRequest, reason: string): AppError {
  return new AppError('unsupported', `the model is to compute with ${LABELS[name]}, but ${reason}`, {
    details: { provider: name, reason },
  });
}

const LABELS = { cpu: 'the CPU', cuda: 'CUDA', tensorrt: 'TensorRT', webgpu: 'WebGPU', coreml: 'Core ML' } as const;

/** Looks at this machine; `folder`: where ONNX Runtime's library lies. */
export function lookAtMachine(folder: string): Machine {
  return {
    cudaBuild: existsSync(join(folder, 'libonnxruntime_providers_cuda.so')),
    nvidiaGpu: existsSync('/proc/driver/nvidia/gpus'),
  };
}
