/** Models from files, addresses and buckets, each over the real thing. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startS3, type TestS3, whyNoS3 } from '../../../tests/support/s3-server.js';
import type { Io } from '../io.js';
import { fetchStorage } from './fetch.js';

const folder = mkdtempSync(join(tmpdir(), 'sluice-storage-'));
const LONG = `${'d'.repeat(90)}/${'e'.repeat(120)}/model.bin`;
const BIG = Buffer.alloc(3 * 2 ** 20, 'x');
let server: Server;
let url: string;

function write(path: string, content: string | Buffer): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

beforeAll(async () => {
  write('model/1/model.onnx', 'onnx');
  write('model/big.bin', BIG);
  write('model/empty', '');
  write(join('model', LONG), 'long');
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: folder });
  run('tar', '-czf', 'gnu.tar.gz', '--format=gnu', '-C', 'model', '.');
  run('tar', '-cf', 'pax.tar', '--format=pax', '-C', 'model', '.');
  run('tar', '-czf', 'ustar.tgz', '--format=ustar', '-C', 'model', '1', 'big.bin', 'empty');
  run('tar', '-cPf', 'evil.tar', '--transform=s,^,../,', 'model/empty');
  run('python3', '-c', 'import shutil; shutil.make_archive("model", "zip", "model")');
  run('python3', '-c', 'import zipfile; zipfile.ZipFile("evil.zip", "w").writestr("../x", "y")');
  write('broken.tar.gz', 'no archive');
  write('broken.zip', 'no archive');
  server = createServer((request, response) => {
    const name = basename(new URL(request.url ?? '', 'http://x').pathname);
    try {
      const content = readFileSync(join(folder, name === 'moved' ? 'model.zip' : name));
      response.writeHead(200, name === 'moved' ? { 'content-type': 'application/zip' } : {}).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const io = (env: NodeJS.ProcessEnv = {}) => ({ env, signal: new AbortController().signal }) as Io;

/** The files that came, with their sizes, and nothing left behind. */
async function fetched(uri: string, env?: NodeJS.ProcessEnv): Promise<Record<string, number>> {
  const { path, remove } = await fetchStorage(io(env), uri, folder);
  const files: Record<string, number> = {};
  try {
    for (const entry of readdirSync(path, { withFileTypes: true, recursive: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      files[file.slice(path.length + 1)] = readFileSync(file).length;
    }
    return files;
  } catch {
    return { [basename(path)]: readFileSync(path).length };
  } finally {
    await remove();
  }
}

const SOME = { '1/model.onnx': 4, 'big.bin': BIG.length, empty: 0 };
const ALL = { ...SOME, [LONG]: 4 };

describe('fetchStorage', () => {
  it.each([
    ['a path of its folder', () => 'model/big.bin', { 'big.bin': BIG.length }],
    ['a file address', () => `file://${join(folder, 'model')}`, ALL],
    ['a file', () => `${url}/big.bin?token=1`, undefined],
    ['a tar.gz of GNU', () => `${url}/gnu.tar.gz`, ALL],
    ['a tar of POSIX', () => `${url}/pax.tar`, ALL],
    ['a tgz', () => `${url}/ustar.tgz`, SOME],
    ['a zip', () => `${url}/model.zip`, ALL],
    ['a zip by its type', () => `${url}/moved`, ALL],
  ])('brings %s', async (_name, uri, files) => {
    if (files === undefined) write('big.bin', BIG);
    expect(await fetched(uri())).toEqual(files ?? { 'big.bin': BIG.length });
  });

  it.each([
    ['nothing', '/nothing', 'nothing: it was answered 404'],
    ['a broken tar', '/broken.tar.gz', 'is a broken archive: '],
    ['a broken zip', '/broken.zip', 'is no zip archive'],
    ['a tar that leads out of its folder', '/evil.tar', 'which leads out of its folder'],
    ['a zip that leads out of its folder', '/evil.zip', 'which leads out of its folder'],
  ])('refuses %s', async (_name, path, message) => {
    await expect(fetchStorage(io(), `${url}${path}`, folder)).rejects.toThrow(message);
  });

  it('says who cannot be reached', async () => {
    await expect(fetchStorage(io(), 'http://127.0.0.1:1/m.onnx', folder)).rejects.toThrow(
      'cannot fetch http://127.0.0.1:1/m.onnx',
    );
  });
});

const missing = whyNoS3();
describe.skipIf(missing)('a bucket', () => {
  let s3: TestS3;
  let env: NodeJS.ProcessEnv;
  beforeAll(async () => {
    s3 = await startS3();
    const { accessKeyId, secretAccessKey } = s3.credentials;
    env = {
      AWS_ENDPOINT_URL: s3.endpoint,
      AWS_REGION: s3.region,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    };
    for (const [path, text] of [
      ['models/iris/model.joblib', 'pickle'],
      ['models/iris/more/x', 'xx'],
      ['models/iris-2/model.joblib', 'other'],
    ] as const) {
      mkdirSync(join(s3.folder, 'bucket', dirname(path)), { recursive: true });
      writeFileSync(join(s3.folder, 'bucket', path), text);
    }
  }, 240_000);
  afterAll(() => s3?.stop());

  it('gives a prefix, and not what only begins like it', async () => {
    expect(await fetched('s3://bucket/models/iris', env)).toEqual({ 'model.joblib': 6, 'more/x': 2 });
    expect(await fetched('s3://bucket/models/iris-2/', env)).toEqual({ 'model.joblib': 5 });
  });

  it('gives one object', async () => {
    expect(await fetched('s3://bucket/models/iris/model.joblib', env)).toEqual({ 'model.joblib': 6 });
  });

  it('says what is not there, and who may not', async () => {
    await expect(fetchStorage(io(env), 's3://bucket/nothing', folder)).rejects.toThrow(
      'there is nothing at s3://bucket/nothing',
    );
    await expect(
      fetchStorage(io({ ...env, AWS_SECRET_ACCESS_KEY: 'wrong' }), 's3://bucket/models', folder),
    ).rejects.toThrow('cannot fetch s3://bucket/models');
  });
});
