/** The installation with the real pip, of a tiny wheel out of a folder. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../config.js';
import { AppError } from '../../errors.js';
import { findTensorFlow } from './find-tensorflow.js';
import { type InstallOptions, installEngine, installFolder } from './install.js';
import { compareVersions, listInstalled } from './installed.js';
import { findOnnx, onnxRecipe } from './onnx.js';
import { tensorflowRecipe } from './tensorflow.js';

const base = mkdtempSync(join(tmpdir(), 'sluice-engines-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

let enginesFolder: string;
let lines: string[];
let tried: string[];
beforeEach(() => {
  enginesFolder = mkdtempSync(join(base, 'engines-'));
  lines = [];
  tried = [];
});

const LIBRARY = 'tensorflow/libtensorflow_cc.so.2';
const wheels = join(base, 'wheels');
const env = {
  ...loadConfig().training.baseEnv,
  PIP_NO_INDEX: '1',
  PIP_FIND_LINKS: wheels,
  PIP_CONFIG_FILE: '/dev/null',
};

/** Makes a wheel with these files in the folder that pip looks into. */
function makeWheel(
  version: string,
  files: Readonly<Record<string, string>>,
  { name = process.platform === 'darwin' ? 'tensorflow' : 'tensorflow_cpu', info: more = '' } = {},
): string {
  mkdirSync(wheels, { recursive: true });
  const info = `${name}-${version}.dist-info`;
  const wheel = join(wheels, `${name}-${version}-py3-none-any.whl`);
  const all = {
    ...files,
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n${more}`,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${info}/RECORD`]: '',
  };
  const script = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:
    for path, text in json.loads(sys.argv[2]).items(): archive.writestr(path, text)
`;
  execFileSync('python3', ['-c', script, wheel, JSON.stringify(all)]);
  return wheel;
}

function toolsOf() {
  const onLine = (line: string) => void lines.push(line);
  return { enginesFolder, python: 'python3', env, onLine, signal: new AbortController().signal };
}

async function install(version: string, changes: Partial<InstallOptions> = {}) {
  return installEngine(tensorflowRecipe(version, false), {
    ...toolsOf(),
    tryOut: async (folder) => void tried.push(readFileSync(join(folder, LIBRARY), 'utf8')),
    ...changes,
  });
}

const folderOf = (version: string) => installFolder(enginesFolder, { engine: 'tensorflow', version, cuda: false });

async function failureOf(work: Promise<unknown>): Promise<AppError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AppError);
  return error as AppError;
}

const good = {
  [LIBRARY]: 'the library',
  'tensorflow/libtensorflow_framework.so.2': 'the other',
  'tensorflow/a.py': 'x',
};

describe('the installation of TensorFlow', () => {
  it('keeps the libraries of the wheel and nothing else, once', async () => {
    makeWheel('9.1.0', good);
    const { installed, before } = await install('9.1.0');
    expect(before).toBe(false);
    expect(installed).toMatchObject({ version: '9.1.0', cuda: false, whole: true });
    expect(installed.folder).toBe(folderOf('9.1.0'));
    expect(readdirSync(join(installed.folder, 'tensorflow')).sort()).toEqual([
      'libtensorflow_cc.so.2',
      'libtensorflow_framework.so.2',
    ]);
    expect(tried).toEqual(['the library']);
    expect(lines[0]).toMatch(/^downloading tensorflow(-cpu)? 9\.1\.0$/);
    expect(readdirSync(enginesFolder)).toEqual(['tensorflow-9.1.0']);
    expect(await install('9.1.0')).toEqual({ installed, before: true });
    expect(tried).toHaveLength(1);
  });

  it('installs anew what is not whole, and clears up after one that was killed', async () => {
    makeWheel('9.1.0', good);
    const folder = folderOf('9.1.0');
    await install('9.1.0');
    truncateSync(join(folder, LIBRARY), 3);
    const left = join(enginesFolder, '.draft-tensorflow-9.1.0', LIBRARY);
    mkdirSync(dirname(left), { recursive: true });
    writeFileSync(left, 'half');
    expect((await listInstalled(enginesFolder, 'tensorflow'))[0]?.whole).toBe(false);
    expect(await install('9.1.0')).toMatchObject({ before: false, installed: { whole: true } });
    expect(readdirSync(enginesFolder)).toEqual(['tensorflow-9.1.0']);
  });

  it('lets two at once install it once', async () => {
    makeWheel('9.1.0', good);
    const both = await Promise.all([install('9.1.0'), install('9.1.0')]);
    expect(both.map(({ before }) => before).sort()).toEqual([false, true]);
    expect(tried).toHaveLength(1);
  });

  it('leaves nothing of a library that does not load here', async () => {
    makeWheel('9.1.0', good);
    const tryOut = () => Promise.reject(new AppError('unsupported', 'GLIBC_9.9 not found'));
    const error = await failureOf(install('9.1.0', { tryOut }));
    expect([error.code, error.message]).toEqual(['unsupported', 'GLIBC_9.9 not found']);
    expect(await listInstalled(enginesFolder, 'tensorflow')).toEqual([]);
    // the download is whole, and the next try need not repeat it
    expect(readdirSync(enginesFolder)).toEqual(['.download-tensorflow-9.1.0']);
  });

  it('says that a download is damaged, and downloads it again the next time', async () => {
    const wheel = makeWheel('9.2.0', { [LIBRARY]: 'x'.repeat(5000) });
    const whole = readFileSync(wheel);
    // a byte of the library itself: the archive opens, and its checksum is wrong
    const damaged = Buffer.from(whole);
    const at = damaged.indexOf(LIBRARY) + LIBRARY.length + 3;
    damaged.writeUInt8(damaged.readUInt8(at) ^ 255, at);
    const download = join(enginesFolder, '.download-tensorflow-9.2.0');
    mkdirSync(download);
    writeFileSync(join(download, wheel.split('/').at(-1) ?? ''), damaged);
    const error = await failureOf(install('9.2.0'));
    expect([error.code, error.message]).toEqual(['upstream_failed', expect.stringContaining('cannot be unpacked')]);
    expect(await install('9.2.0')).toMatchObject({ before: false, installed: { whole: true } });
  });

  it.each([
    ['a version that is not there', '9.9.9', 'invalid', 'No matching distribution'],
    ['no version at all', '../9', 'invalid', 'version is "../9"'],
    ['a wheel without the library', '9.3.0', 'unsupported', 'holds no library'],
  ])('refuses %s', async (_what, version, code, message) => {
    makeWheel('9.3.0', { 'tensorflow/a.py': 'x' });
    const error = await failureOf(install(version));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(message)]);
    expect(await listInstalled(enginesFolder, 'tensorflow')).toEqual([]);
  });

  it('stops when it is told to', async () => {
    makeWheel('9.1.0', good);
    const error = await failureOf(install('9.1.0', { signal: AbortSignal.abort() }));
    expect(error.code).toBe('cancelled');
    expect(readdirSync(enginesFolder)).toEqual([]);
  });
});

describe('the installation of ONNX Runtime for GPUs', () => {
  it('keeps its libraries and NVIDIA’s, and nothing of what else comes along', async () => {
    const own = 'onnxruntime/capi/libonnxruntime.so.9.1.0';
    const info = 'Requires-Dist: numpy\nProvides-Extra: cuda\nRequires-Dist: nvidia-cuda-runtime; extra == "cuda"\n';
    makeWheel('9.1.0', { [own]: 'ort', 'onnxruntime/a.py': 'x' }, { name: 'onnxruntime_gpu', info });
    const runtime = { 'nvidia/cu13/lib/libcudart.so.13': 'cudart', 'nvidia/cu13/include/cuda.h': 'x' };
    makeWheel('1.0', runtime, { name: 'nvidia_cuda_runtime' });
    makeWheel('2.0', { 'numpy/lib/libnumpy.so': 'x' }, { name: 'numpy' });
    const options = { ...toolsOf(), tryOut: async (folder: string) => void tried.push(folder) };
    const { installed } = await installEngine(onnxRecipe('9.1.0', true), options);
    expect(installed).toMatchObject({ engine: 'onnx', cuda: true, whole: true });
    expect([installed.wheel, installed.others.map(({ wheel }) => wheel)]).toEqual([
      'onnxruntime_gpu-9.1.0-py3-none-any.whl',
      ['nvidia_cuda_runtime-1.0-py3-none-any.whl'],
    ]);
    const libraries = installed.files.map(({ path }) => path).filter((path) => path.includes('.so'));
    expect(libraries.sort()).toEqual(['nvidia/cu13/lib/libcudart.so.13', own]);
    expect(tried).toHaveLength(1);
    expect(await findOnnx(enginesFolder)).toEqual(installed);
    expect(await listInstalled(enginesFolder, 'tensorflow')).toEqual([]);
  });

  it('is of another build alone', () => {
    expect(() => onnxRecipe('9.1.0', false)).toThrow('comes with this package');
    expect(() => onnxRecipe('newest', true)).toThrow('version is "newest", expected one such as');
  });
});

describe('findTensorFlow', () => {
  const search = (changes: object) => ({ configured: undefined, enginesFolder, python: 'python3', env, ...changes });

  it('takes the setting, else the newest that is installed, else the interpreter’s', async () => {
    expect(await findTensorFlow(search({ configured: '/x', python: 'no-such-python' }))).toEqual({
      folder: '/x',
      from: 'setting',
      version: undefined,
    });
    for (const version of ['9.2.0', '9.10.0']) {
      makeWheel(version, good);
      await install(version);
    }
    const newest = folderOf('9.10.0');
    expect(await findTensorFlow(search({}))).toEqual({ folder: newest, from: 'installed', version: '9.10.0' });
    rmSync(join(newest, LIBRARY));
    expect(await findTensorFlow(search({}))).toMatchObject({ version: '9.2.0' });
    const packages = join(base, 'packages');
    mkdirSync(join(packages, 'tensorflow'), { recursive: true });
    writeFileSync(join(packages, LIBRARY), 'a library');
    // a package that must not be imported to be found
    writeFileSync(join(packages, 'tensorflow', '__init__.py'), 'raise SystemExit(1)');
    const nothing = { enginesFolder: join(base, 'none'), env: { ...env, PYTHONPATH: packages } };
    expect(await findTensorFlow(search(nothing))).toMatchObject({
      folder: join(packages, 'tensorflow'),
      from: 'python',
    });
    expect(await findTensorFlow(search({ ...nothing, python: 'no-such-python' }))).toBeUndefined();
  });
});

describe('compareVersions', () => {
  it('orders by the numbers, a pre-release before its release', () => {
    const sorted = ['2.9.0', '2.21.0', '2.22.0rc1', '2.22.0', '2.22.0rc0', '2.21'].sort(compareVersions);
    expect(sorted).toEqual(['2.9.0', '2.21', '2.21.0', '2.22.0rc0', '2.22.0rc1', '2.22.0']);
  });
});
