import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseExact, showExact, stringifyExact } from './exact-json.js';
import { buildRequest, isRequest } from './predict/request.js';
import { parseTarget, withShadows } from './traffic.js';
import { readRequirements } from './train/requirements.js';
import { jobName } from './train/submit.js';
import { instant, integer, mebibytes, numberPairs, params, seconds } from './values.js';

describe('option values', () => {
  it('reads numbers, times and sizes', () => {
    expect([seconds('90'), seconds('90s'), seconds('1.5m'), seconds('2h'), seconds('1d')]).toEqual([
      90, 90, 90, 7200, 86_400,
    ]);
    expect([mebibytes('512'), mebibytes('512m'), mebibytes('2G')]).toEqual([512, 512, 2048]);
    expect(integer(1)('7')).toBe(7);
    const at = instant(() => Date.parse('2026-03-01T12:00:00Z'));
    expect([at('2h'), at('2026-03-01T10:00:00+01:00')]).toEqual([
      '2026-03-01T10:00:00.000Z',
      '2026-03-01T09:00:00.000Z',
    ]);
  });

  it('says what it expected', () => {
    expect(() => seconds('soon')).toThrow('Expected a time');
    expect(() => mebibytes('0')).toThrow('Expected a size');
    expect(() => integer(1, 5)('6')).toThrow('from 1 to 5');
    expect(() => instant(Date.now)('yesterday')).toThrow('Expected a time');
    expect(() => numberPairs('a=x', {})).toThrow('Expected a number for a');
  });

  it('takes parameters for what they look like', () => {
    const texts = ['a=1', 'b=0.5', 'c=true', 'd=mlp', 'e="1"', 'f=', 'g=x=y', 'h=007', 'i=1e999'];
    const all = texts.reduce<ReturnType<typeof params> | undefined>((before, text) => params(text, before), undefined);
    expect(all).toEqual({ a: 1, b: 0.5, c: true, d: 'mlp', e: '1', f: '', g: 'x=y', h: '007', i: '1e999' });
    expect(() => params('novalue', {})).toThrow('name=value');
  });

  it('reads traffic targets', () => {
    expect(parseTarget('3=90')).toEqual({ revision: 3, percent: 90 });
    const targets = [parseTarget('3=90'), parseTarget('4=10')];
    expect(withShadows(targets, [parseTarget('4=50'), parseTarget('5=100:new')])).toEqual([
      { revision: 3, percent: 90 },
      { revision: 4, percent: 10, shadowPercent: 50 },
      { revision: 5, percent: 0, shadowPercent: 100, tag: 'new' },
    ]);
    expect(parseTarget('4=0.5%:canary')).toEqual({ revision: 4, percent: 0.5, tag: 'canary' });
    expect(() => parseTarget('x=1')).toThrow('REVISION=PERCENT');
  });

  it('makes job names of paths', () => {
    expect([jobName('/a/My Model_2.py'), jobName('/a/--'), jobName('/')]).toEqual(['my-model-2', 'job', 'job']);
  });
});

describe('exact JSON', () => {
  it('keeps whole numbers that a double cannot hold', () => {
    const text =
      '{"a":[9223372036854775807,-9007199254740993,1.2345678901234567,12],"9007199254740993":"9007199254740993 \\" 9007199254740993"}';
    expect(stringifyExact(parseExact(text))).toBe(text);
    const [big] = parseExact('[18446744073709551615]') as unknown[];
    expect([showExact(big), showExact(1)]).toEqual(['18446744073709551615', '1']);
  });
});

describe('buildRequest', () => {
  const x = { name: 'x', datatype: 'FP32', shape: [-1, 3] };
  it('fills in the rest', () => {
    const rows = [
      [1, 2, 3],
      [4, 5, 6],
    ];
    expect(buildRequest(rows, [x], 'm')).toEqual({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 3], data: rows }],
    });
    expect(buildRequest([1, 2, 3], [x], 'm').inputs[0]).toMatchObject({ shape: [1, 3], data: [[1, 2, 3]] });
    const two = buildRequest({ x: rows, y: ['a', 'b'] }, [x, { name: 'y', datatype: 'BYTES', shape: [-1] }], 'm');
    expect(two.inputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['x', [2, 3]],
      ['y', [2]],
    ]);
    expect([isRequest({ inputs: [] }), isRequest({ x: [] }), isRequest([])]).toEqual([true, false, false]);
  });

  it('says what does not fit', () => {
    expect(() => buildRequest([[1, 2], [3]], [x], 'm')).toThrow('input "x" is ragged: [0] is [2], [1] is [1]');
    expect(() => buildRequest([[1, 2]], [x], 'm')).toThrow('input "x" takes FP32[-1, 3], and the data is [1, 2]');
    expect(() => buildRequest({ z: [] }, [x], 'm')).toThrow('m has no input "z"; it takes x FP32[-1, 3]');
    expect(() => buildRequest([], [x, x], 'm')).toThrow('m takes 2 inputs');
    expect(() => buildRequest(3, [x], 'm')).toThrow('neither an array nor an object');
  });
});

describe('readRequirements', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-requirements-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('joins, strips and includes', async () => {
    mkdirSync(join(folder, 'more'));
    write('more/base.txt', 'numpy==2.0 # fast\n');
    const file = write(
      'requirements.txt',
      '# all\n-r more/base.txt\n\nscikit-learn>=1.5, \\\n  <2\nx @ https://a.example/x.whl#sha256=1\n',
    );
    expect(await readRequirements(file)).toEqual([
      'numpy==2.0',
      'scikit-learn>=1.5,   <2',
      'x @ https://a.example/x.whl#sha256=1',
    ]);
  });

  it('refuses what a job cannot have', async () => {
    await expect(readRequirements(write('local.txt', 'a\n-e ./mine\n'))).rejects.toThrow(
      /local\.txt:2: "-e \.\/mine" names a file/,
    );
    await expect(readRequirements(write('loop.txt', '-r loop.txt\n'))).rejects.toThrow('includes itself');
    await expect(readRequirements(join(folder, 'none.txt'))).rejects.toThrow('there is no requirements file');
  });
});
