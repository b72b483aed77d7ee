import { describe, expect, it } from 'vitest';
import { AppError } from '../../errors.js';
import { lanesOf, readOptions, threadNotes, threadsPerInstance } from './options.js';

function failure(options: Readonly<Record<string, unknown>>): string {
  try {
    readOptions(options);
  } catch (error) {
    if (error instanceof AppError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'taken';
}

describe('the options of an ONNX load', () => {
  it('have defaults that suit one replica among many', () => {
    expect(readOptions({ someoneElses: 1 })).toEqual({
      instances: 1,
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      enableCpuMemArena: true,
      enableMemPattern: true,
      freeDimensionOverrides: {},
      configEntries: {},
      logSeverityLevel: 4,
      device: 'auto',
      providers: undefined,
    });
  });

  it('take configuration flat or in parts', () => {
    const extra = {
      'session.intra_op.allow_spinning': '0',
      session: { inter_op: { allow_spinning: false }, dynamic_block_base: 4 },
    };
    expect(readOptions({ extra }).configEntries).toEqual({
      'session.intra_op.allow_spinning': '0',
      'session.inter_op.allow_spinning': '0',
      'session.dynamic_block_base': '4',
    });
  });

  it('take providers by name or with settings', () => {
    const executionProviders = [{ name: 'cuda', deviceId: 1, use_tf32: false }, 'cpu'];
    expect(readOptions({ executionProviders }).providers).toEqual([
      { name: 'cuda', settings: { device_id: '1', use_tf32: '0' } },
      { name: 'cpu', settings: {} },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['intraOpNumThreads', -1, 'invalid: option intraOpNumThreads is -1, expected an integer from 0 to 1024'],
    ['interOpNumThreads', 1.5, 'invalid: option interOpNumThreads is 1.5, expected an integer from 1 to 1024'],
    ['instances', 65, 'invalid: option instances is 65, expected an integer from 1 to 64'],
    ['executionMode', 'both', 'invalid: option executionMode is "both", expected one of sequential, parallel'],
    ['graphOptimizationLevel', 99, 'invalid: option graphOptimizationLevel is 99, expected one of disabled, basic'],
    ['enableCpuMemArena', 'no', 'invalid: option enableCpuMemArena is "no", expected true or false'],
    ['enableMemPattern', 0, 'invalid: option enableMemPattern is 0, expected true or false'],
    ['freeDimensionOverrides', { n: 0 }, 'invalid: option freeDimensionOverrides is {"n":0}, expected an object of'],
    ['freeDimensionOverrides', [1], 'invalid: option freeDimensionOverrides is [1], expected an object of'],
    ['logSeverityLevel', 5, 'invalid: option logSeverityLevel is 5, expected an integer from 0 to 4'],
    ['device', 'tpu', 'invalid: option device is "tpu", expected one of auto, cpu, gpu'],
    ['extra', 'x', 'invalid: option extra is "x", expected an object'],
    [
      'extra',
      { session: { spin: '1' } },
      'unsupported: option extra has "session.spin", which cannot be set; there are',
    ],
    ['extra', { session: { save_model_format: 'ORT' } }, 'unsupported: option extra has "session.save_model_format"'],
    [
      'extra',
      { 'session.dynamic_block_base': [] },
      'invalid: option extra: "session.dynamic_block_base" is [], expected',
    ],
    ['executionProviders', [], 'invalid: option executionProviders is [], expected a list of cpu, cuda, tensorrt'],
    ['executionProviders', ['rocm'], 'invalid: option executionProviders is ["rocm"], expected a list of'],
    ['executionProviders', ['cpu', 'cpu'], 'each at most once'],
    [
      'executionProviders',
      [{ name: 'cuda', user_compute_stream: '1' }],
      'unsupported: option executionProviders: cuda has no setting "user_compute_stream"; there are device_id',
    ],
    ['executionProviders', [{ name: 'cpu', x: 1 }], 'cpu has no setting "x"; it has none'],
    ['executionProviders', [{ name: 'cuda', device_id: [] }], 'device_id of cuda is [], expected a text or a number'],
    ['optimizedModelFilePath', '/x', 'unsupported: option optimizedModelFilePath is not offered: it would write'],
    [
      'externalData',
      [],
      "unsupported: option externalData is not offered: external data is found beside the model's file",
    ],
  ])('refuse %s = %j', (name, value, message) => {
    expect(failure({ [name]: value })).toContain(message);
  });
});

describe('threads', () => {
  it('fit the cores, shared by the instances', () => {
    expect([threadsPerInstance(8, 2), threadsPerInstance(8, 3), threadsPerInstance(2, 4)]).toEqual([4, 2, 1]);
    const all = readOptions({ intraOpNumThreads: 0 }).intraOpNumThreads;
    expect(readOptions({ intraOpNumThreads: 0, instances: 64 }).intraOpNumThreads).toBeLessThanOrEqual(all);
  });

  it('are said when they do not fit', () => {
    const options = readOptions({ instances: 8, intraOpNumThreads: 2 });
    expect(lanesOf(options, {})).toBe(4);
    expect(lanesOf(options, { poolThreads: 16 })).toBe(8);
    expect(threadNotes(options, 8, 16)).toEqual([]);
    expect(threadNotes(options, 4, 4)).toEqual([
      '8 instances were asked for: 4 compute at the same time here.',
      '4 × 2 threads compute on 4 cores: they will wait for one another.',
    ]);
  });
});
