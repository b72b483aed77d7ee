import { describe, expect, it } from 'vitest';
import { type Machine, planDevice, reasonFor } from './device.js';
import { readOptions } from './options.js';

const bare: Machine = { cudaBuild: false, nvidiaGpu: false };
const withBuild: Machine = { cudaBuild: true, nvidiaGpu: true };
const cuda = { name: 'cuda', settings: {} } as const;
const plan = (options: Readonly<Record<string, unknown>>, machine: Machine) =>
  planDevice(readOptions(options), machine);

describe('the device of a model', () => {
  it.each<[string, Readonly<Record<string, unknown>>, Machine, object]>([
    ['auto, with nothing to find', {}, bare, { providers: [], mayFallBack: true, notes: [] }],
    ['auto, with the build for it', {}, withBuild, { providers: [cuda], mayFallBack: true, notes: [] }],
    ['gpu', { device: 'gpu' }, bare, { providers: [cuda], mayFallBack: false, notes: [] }],
    ['cpu', { device: 'cpu' }, withBuild, { providers: [], mayFallBack: true, notes: [] }],
    [
      'auto and a list',
      { executionProviders: ['webgpu', 'cuda', 'cpu'] },
      bare,
      { providers: [{ name: 'webgpu', settings: {} }, cuda], mayFallBack: true },
    ],
    [
      'gpu and a list',
      { device: 'gpu', executionProviders: ['cuda'] },
      bare,
      { providers: [cuda], mayFallBack: false },
    ],
    ['a list of the CPU alone', { executionProviders: ['cpu'] }, withBuild, { providers: [] }],
  ])('%s', (_what, options, machine, expected) => {
    expect(plan(options, machine)).toMatchObject(expected);
  });

  it('is not silent about a GPU that is not used', () => {
    expect(plan({}, { cudaBuild: false, nvidiaGpu: true }).notes).toEqual([
      'This machine has an NVIDIA GPU, which ONNX models could use (`sluice engines install onnx --cuda` installs it).',
    ]);
  });

  it.each([
    ['cpu', ['cuda'], 'device is cpu, and executionProviders names cuda'],
    ['gpu', ['cpu'], 'device is gpu, and executionProviders names cpu alone'],
  ])('is not %s with executionProviders %j', (device, executionProviders, message) => {
    expect(() => plan({ device, executionProviders }, withBuild)).toThrow(message);
  });

  it('says what is missing', () => {
    const loader = (name: string) =>
      `Failed to load library x.so with error: ${name}: cannot open shared object file: No`;
    expect(reasonFor(cuda, withBuild, loader('libcublasLt.so.13'))).toBe('libcublasLt.so.13 is missing');
    expect(reasonFor(cuda, withBuild, loader('libcuda.so.1'))).toContain("NVIDIA's driver is not installed here");
    expect(reasonFor(cuda, bare, 'anything')).toContain('`sluice engines install onnx --cuda`');
    const failure =
      '[with ERRTYPE = cudaError] CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=x';
    expect(reasonFor(cuda, withBuild, failure)).toBe('CUDA failure 100: no CUDA-capable device is detected');
    expect(reasonFor(cuda, withBuild, 'anything else')).toBe('anything else');
  });
});
