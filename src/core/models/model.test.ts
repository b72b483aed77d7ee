import { describe, expect, it } from 'vitest';
import { artifactFileSchema, artifactOf, entryFile } from './model.js';

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const file = (path: string, letter = 'a', bytes = 1) => ({ path, digest: digest(letter), bytes });

describe('artifactFileSchema', () => {
  it.each(['model.onnx', 'a/b/c.bin', 'weights-0001.bin', 'ünïcode name.onnx', '..a/b..', 'a.b.c'])(
    'takes %j',
    (path) => {
      expect(artifactFileSchema.safeParse({ path, digest: digest('a') }).success).toBe(true);
    },
  );

  it.each([
    '',
    '/etc/passwd',
    '../up',
    'a/../b',
    'a//b',
    'a/',
    './a',
    '.',
    '..',
    'a\\b',
    'a\u0000b',
    'a\nb',
    'x'.repeat(1025),
  ])('refuses %j', (path) => {
    expect(artifactFileSchema.safeParse({ path, digest: digest('a') }).success).toBe(false);
  });

  it.each(['', 'sha256:abc', digest('A'), `sha512:${'a'.repeat(64)}`, `${digest('a')}\n`])(
    'refuses digest %j',
    (given) => {
      expect(artifactFileSchema.safeParse({ path: 'model.onnx', digest: given }).success).toBe(false);
    },
  );
});

describe('artifactOf', () => {
  const files = [file('model.onnx', 'a', 10), file('b', 'b', 5), file('a/c', 'c', 1)];

  it('names the set, in any order', () => {
    const one = artifactOf(files);
    expect(artifactOf([...files].reverse())).toEqual(one);
    expect(one.bytes).toBe(16);
    expect(one.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  it.each([
    { why: 'another content', other: [file('model.onnx', 'd', 10), file('b', 'b', 5), file('a/c', 'c', 1)] },
    { why: 'another name', other: [file('model2.onnx', 'a', 10), file('b', 'b', 5), file('a/c', 'c', 1)] },
    { why: 'a file less', other: files.slice(1) },
    { why: 'contents swapped', other: [file('model.onnx', 'b', 10), file('b', 'a', 5), file('a/c', 'c', 1)] },
  ])('names $why otherwise', ({ other }) => {
    expect(artifactOf(other).digest).not.toBe(artifactOf(files).digest);
  });
});

describe('entryFile', () => {
  it.each([
    { why: 'the only model', paths: ['digits.onnx', 'labels.txt'], entry: 'digits.onnx' },
    { why: 'model.onnx among several', paths: ['a.onnx', 'model.onnx'], entry: 'model.onnx' },
    { why: 'in a folder', paths: ['v1/net.onnx', 'v1/weights.bin'], entry: 'v1/net.onnx' },
    { why: 'two without a name to go by', paths: ['a.onnx', 'b.onnx'], entry: undefined },
    { why: 'an MLflow model', paths: ['MLmodel', 'conda.yaml', 'model.pkl'], entry: '', framework: 'python' },
    { why: 'a class', paths: ['model.py', 'weights/w.bin'], entry: '', framework: 'python' },
    { why: 'scikit-learn', paths: ['model.joblib'], entry: '', framework: 'python' },
    { why: 'XGBoost', paths: ['requirements.txt', 'model.ubj'], entry: '', framework: 'python' },
    { why: 'ONNX kept by MLflow', paths: ['MLmodel', 'model.onnx'], entry: 'model.onnx' },
    { why: 'Python not at the root', paths: ['src/model.py', 'my-model.pkl'], entry: undefined },
    { why: 'none', paths: ['weights.h5'], entry: undefined },
    { why: 'nothing', paths: [], entry: undefined },
  ])('$why', ({ paths, entry, framework = 'onnx' }) => {
    const expected = entry === undefined ? undefined : { path: entry, framework };
    expect(entryFile(paths.map((path) => ({ path })))).toEqual(expected);
  });

  const variables = 'variables/variables.index';
  it.each([
    { why: 'a SavedModel', paths: ['saved_model.pb', variables], entry: '' },
    { why: 'a SavedModel in a folder', paths: ['export/saved_model.pb', `export/${variables}`], entry: 'export' },
    { why: 'the highest of numbered ones', paths: ['9/saved_model.pb', '10/saved_model.pb'], entry: '10' },
    { why: 'numbers before names', paths: ['old/saved_model.pb', '1/saved_model.pb'], entry: '1' },
    { why: 'two without a number', paths: ['a/saved_model.pb', 'b/saved_model.pb'], entry: undefined },
    { why: 'one that lies too deep', paths: ['a/b/saved_model.pb'], entry: undefined },
  ])('takes $why for TensorFlow', ({ paths, entry }) => {
    const found = entryFile(paths.map((path) => ({ path })));
    expect(found).toEqual(entry === undefined ? undefined : { path: entry, framework: 'tensorflow' });
  });

  it('takes ONNX first', () => {
    const paths = ['saved_model.pb', 'model.onnx'].map((path) => ({ path }));
    expect(entryFile(paths)).toEqual({ path: 'model.onnx', framework: 'onnx' });
  });
});
