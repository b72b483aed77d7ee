import { execFile } from 'node:child_process';
import { listInstalled } from './installed.js';

export interface TensorFlowSearch {
  /** The folder that the settings name; undefined: none. */
  readonly configured: string | undefined;
  /** Where `sluice engines install` puts what it installs. */
  readonly enginesFolder: string;
  /** An interpreter that may have TensorFlow; it is asked without importing it. */
  readonly python: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface FoundTensorFlow {
  /** Folder to point a model server at. */
  readonly folder: string;
  readonly from: 'setting' | 'installed' | 'python';
  /** Undefined where it is not known without loading it. */
  readonly version: string | undefined;
}

/** TensorFlow's library on this machine: by setting, else the newest installed one, else that of the interpreter. */
export async function findTensorFlow(search: TensorFlowSearch): Promise<FoundTensorFlow | undefined> {
  if (search.configured !== undefined) return { folder: search.configured, from: 'setting', version: undefined };
  const newest = (await listInstalled(search.enginesFolder, 'tensorflow')).find((engine) => engine.whole);
  if (newest) return { folder: newest.folder, from: 'installed', version: newest.version };
  return findInPython(search.python, search.env);
}

/** Prints the folder of the package and its version, without running any of it. */
const PROBE = `
import glob, importlib.util, os
spec = importlib.util.find_spec('tensorflow')
for place in (spec.submodule_search_locations or [] if spec else []):
    if glob.glob(os.path.join(place, 'libtensorflow_cc.*')):
        import importlib.metadata
        version = ''
        for name in ('tensorflow', 'tensorflow-cpu', 'intel-tensorflow', 'tensorflow-rocm'):
            try:
                version = importlib.metadata.version(name)
                break
            except importlib.metadata.PackageNotFoundError:
                pass
        print(place, version, sep='\\n')
        break
`;

export async function findInPython(
  python: string,
  env: Readonly<Record<string, string>>,
): Promise<FoundTensorFlow | undefined> {
  const answer = await new Promise<string>((resolve) => {
    execFile(python, ['-c', PROBE], { env: { ...env }, cwd: '/', timeout: 10_000 }, (error, stdout) =>
      // no interpreter is no TensorFlow
      resolve(error ? '' : stdout),
    );
  });
  const [folder, version] = answer.split('\n');
  return folder ? { folder, from: 'python', version: version || undefined } : undefined;
}
