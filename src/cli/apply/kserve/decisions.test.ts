import { describe, expect, it } from 'vitest';
import { serviceName } from '../../../core/cluster-names.js';
import { layOut } from './formats.js';
import { knativeServiceName, numberedTargets } from './knative-service.js';
import { goSeconds, quantity } from './quantities.js';
import { canaryTargets, lastRolledOut, sameTraffic } from './traffic.js';

describe('traffic as KServe decides it', () => {
  const whole = (revision: number) => ({ targets: [{ revision, percent: 100 }] });
  const split = (a: number, b: number) => ({
    targets: [
      { revision: a, percent: 90 },
      { revision: b, percent: 10 },
    ],
  });

  it.each([
    ['nothing before', 1, [], undefined],
    ['the one before', 2, [whole(1)], 1],
    ['not what was only tried', 3, [split(1, 2), whole(1)], 1],
    ['a roll-back after a promotion', 2, [whole(2), split(1, 2), whole(1)], 1],
  ])('%s', (_name, newest, history, before) => {
    expect(lastRolledOut(newest, history)).toBe(before);
  });

  it.each([
    [undefined, 1, false, [{ revision: 2, percent: 100 }]],
    [
      20,
      1,
      false,
      [
        { revision: 2, percent: 20 },
        { revision: 1, percent: 80, tag: 'prev' },
      ],
    ],
    [20, undefined, false, [{ revision: 2, percent: 100 }]],
    [
      0,
      1,
      true,
      [
        { revision: 2, percent: 0, tag: 'latest' },
        { revision: 1, percent: 100, tag: 'prev' },
      ],
    ],
    [100, 1, true, [{ revision: 2, percent: 100, tag: 'latest' }]],
  ])('canary %j beside %j, tags %j', (canaryPercent, before, tagRouting, targets) => {
    expect(canaryTargets(2, before, { canaryPercent, tagRouting })).toEqual(targets);
  });

  it('is the same in any order', () => {
    const [a, b] = [
      { revision: 1, percent: 10 },
      { revision: 2, percent: 90, tag: 'x' },
    ];
    expect(sameTraffic([a, b], [b, a])).toBe(true);
    expect(sameTraffic([a, b], [a, { revision: 2, percent: 90 }])).toBe(false);
  });
});

describe("a Knative Service's targets", () => {
  it('of one revision are one', () => {
    const targets = [
      { revision: undefined, percent: 60 },
      { revision: 4, percent: 40, tag: 'now' },
    ];
    expect(numberedTargets(targets, 4)).toEqual([{ revision: 4, percent: 100, tag: 'now' }]);
    expect(
      numberedTargets(
        targets.map((one, at) => ({ ...one, tag: `t${at}` })),
        4,
      ),
    ).toContain('two tags');
  });

  it.each(['digits', 'a'.repeat(40), `${'a'.repeat(29)}-b`, '4-letters'])('are of the Service made for %s', (name) => {
    const id = 'ep_01jabcdefghijklmnop';
    expect(knativeServiceName(name, id)).toBe(serviceName(name, id));
  });
});

describe('amounts and times', () => {
  it.each([
    ['500m', 0.5],
    ['2', 2],
    ['1.5', 1.5],
    ['512Mi', 512 * 2 ** 20],
    ['1G', 1e9],
    ['1e3', 1000],
    ['2Gb', undefined],
    ['', undefined],
    ['-1', undefined],
  ])('%s', (text, value) => expect(quantity(text)).toBe(value));

  it.each([
    ['90s', 90],
    ['1m30s', 90],
    ['0', 0],
    ['1.5h', 5400],
    ['soon', undefined],
    ['90', undefined],
  ])('%s', (text, seconds) => expect(goSeconds(text)).toBe(seconds));
});

describe('layOut', () => {
  const files = (...paths: string[]) => paths.map((path) => ({ path, digest: path }));
  it.each([
    ['sklearn', ['iris.joblib', 'requirements.txt'], ['model.joblib', 'requirements.txt']],
    ['sklearn', ['model.pkl', 'other.pkl'], ['model.pkl', 'other.pkl']],
    ['xgboost', ['iris.bst', 'model-settings.json'], ['model.bst', 'model-settings.json']],
    ['tensorflow', ['1/saved_model.pb', '1/variables/v'], ['1/saved_model.pb', '1/variables/v']],
    ['onnx', ['1/net.onnx', 'config.pbtxt'], ['1/net.onnx', 'config.pbtxt']],
    ['mlflow', ['MLmodel', 'model.pkl'], ['MLmodel', 'model.pkl']],
  ] as const)('%s %j', (format, given, paths) => {
    const laid = layOut(format, files(...given));
    expect(typeof laid === 'string' ? laid : laid.files.map((file) => file.path)).toEqual(paths);
  });

  it.each([
    ['sklearn', ['a.pkl', 'b.pkl'], 'there is no sklearn model among a.pkl, b.pkl: expected is one .joblib'],
    ['sklearn', ['deep/a.pkl'], 'at the top'],
    ['tensorflow', ['x.pb'], 'saved_model.pb'],
    ['onnx', ['x.bin'], 'an .onnx file'],
  ] as const)('%s refuses %j', (format, given, message) => {
    expect(layOut(format, files(...given))).toContain(message);
  });

  it('serves LightGBM by a class that reads its file', () => {
    const laid = layOut('lightgbm', files('model.bst'));
    if (typeof laid === 'string') throw new Error(laid);
    expect(laid.more['model.py']).toContain('os.path.join(path, "model.bst")');
    expect(laid.more['requirements.txt']).toContain('lightgbm');
  });
});
