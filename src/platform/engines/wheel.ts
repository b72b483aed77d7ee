/** Packages of the Python index as files: downloaded by pip, unpacked in part, never installed. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AppError } from '../../errors.js';
import { step, withPip } from '../python/pip.js';

export interface PythonTools {
  readonly python: string;
  readonly env: Readonly<Record<string, string>>;
  /** Gets the lines that are printed. */
  readonly onLine: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * The interpreter that wheels are asked for. What is taken out of them does not depend on it, and one that all recent
 * releases have a wheel for is better than the one that runs pip, which may be newer than they are.
 */
const WHEEL_PYTHON = '3.12';

/** What pip is asked for. */
export interface Download {
  /** Such as `name==1.0` or `name[extra]==1.0`. */
  readonly requirement: string;
  /** Whether with the packages that it depends on. */
  readonly dependencies: boolean;
}

/** Downloads wheels into a folder, or finds them there; their paths. */
export async function downloadWheels(
  tools: PythonTools,
  { requirement, dependencies }: Download,
  folder: string,
): Promise<string[]> {
  const { env, signal } = tools;
  const onLine = async (line: string) => tools.onLine(line);
  const options = { env, onLine, signal };
  await withPip(tools.python, { ...options, folder: `${folder}.pip` }, (python) =>
    step(options, python, [
      ...['-m', 'pip', 'download', '--only-binary', ':all:', '--python-version', WHEEL_PYTHON],
      ...(dependencies ? [] : ['--no-deps']),
      ...['--disable-pip-version-check', '--no-input', '--progress-bar', 'off', '--dest', folder, requirement],
    ]),
  );
  return (await readdir(folder)).filter((name) => name.endsWith('.whl')).map((name) => join(folder, name));
}

export interface UnpackedFile {
  /** Relative to the folder that it was unpacked into. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Zip files are read by the interpreter, which checks their checksums: no other program is needed for it. */
const UNPACK = `
import hashlib, json, os, re, sys, zipfile, zlib
wheel, target, pattern = sys.argv[1:]
wanted, files = re.compile(pattern), []
try:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if entry.is_dir() or not wanted.fullmatch(entry.filename):
                continue
            path, digest, size = os.path.join(target, entry.filename), hashlib.sha256(), 0
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(entry) as source, open(path, 'xb') as out:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    out.write(chunk)
                    size += len(chunk)
                out.flush()
                os.fsync(out.fileno())
            files.append({'path': entry.filename, 'bytes': size, 'sha256': digest.hexdigest()})
except (zipfile.BadZipFile, zlib.error, EOFError) as error:
    sys.exit(f'damaged: {error}')
except OSError as error:
    sys.exit(f'failed: {error.strerror}')
print(json.dumps(files))
`;

/** Unpacks the files whose whole path matches; `upstream_failed` when the wheel is damaged. */
export async function unpackWheel(
  { python, env, signal }: PythonTools,
  wheel: string,
  target: string,
  pattern: RegExp,
): Promise<UnpackedFile[]> {
  const answer = await new Promise<string>((resolve, reject) => {
    const args = ['-c', UNPACK, wheel, target, pattern.source];
    execFile(python, args, { env: { ...env }, signal, maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      if (signal.aborted) return reject(new AppError('cancelled', 'cancelled while the download was unpacked'));
      const problem = stderr.trim().split('\n').at(-1) ?? '';
      const code = problem.startsWith('damaged') ? 'upstream_failed' : 'not_ready';
      reject(new AppError(code, `the download cannot be unpacked: ${problem || error.message}`, { cause: error }));
    });
  });
  return JSON.parse(answer) as UnpackedFile[];
}

/** A file's SHA-256 in hexadecimal. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash);
  return hash.digest('hex');
}
