/** What a Python model needs, read from its folder. */
import { readFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { parse } from 'yaml';
import { AppError, messageOf } from '../../errors.js';

/** What the runtime itself needs in every environment. */
const ALWAYS = 'numpy';
/** For models that are a library's own file and come without requirements; pandas where they were trained with a table. */
const DEFAULTS: readonly (readonly [file: RegExp, requirements: readonly string[]])[] = [
  [/^model\.(joblib|pkl|pickle)$/, ['scikit-learn', 'pandas']],
  [/^model\.(json|ubj|bst)$/, ['xgboost-cpu', 'scikit-learn', 'pandas']],
];

/**
 * Requirement lines of the model in `folder`, whose files are `paths`: of requirements.txt, else of python_env.yaml, else of
 * conda.yaml's pip part (MLflow writes all three), else by the kind of model. What the runtime needs is added where it is
 * missing. `invalid` when a file cannot be read as what it is.
 */
export async function readModelRequirements(folder: string, paths: readonly string[]): Promise<string[]> {
  const has = (path: string) => paths.includes(path);
  const lines = has('requirements.txt')
    ? await readList(folder, 'requirements.txt')
    : has('python_env.yaml')
      ? await readPythonEnv(folder)
      : has('conda.yaml')
        ? pipPart(await readYaml(folder, 'conda.yaml'))
        : DEFAULTS.flatMap(([file, requirements]) => (paths.some((path) => file.test(path)) ? requirements : []));
  const projects = new Set(lines.map(projectOf));
  const missing = (project: string) => !projects.has(project);
  if (has('MLmodel') && missing('mlflow')) {
    const version = fieldOf(await readYaml(folder, 'MLmodel'), 'mlflow_version');
    if (missing('mlflow-skinny')) lines.push(version ? `mlflow-skinny==${version}` : 'mlflow-skinny');
    if (missing('pandas')) lines.push('pandas');
  }
  return missing(ALWAYS) ? [...lines, ALWAYS] : lines;
}

/** A requirements file; lists that it names (`-r`) are read too, where they lie in the folder. */
async function readList(folder: string, path: string, above: readonly string[] = []): Promise<string[]> {
  const lines = (await readText(folder, path)).replaceAll(/\\\r?\n/g, ' ').split(/\r?\n/);
  return inlined(folder, lines, [...above, path]);
}

async function inlined(folder: string, lines: readonly string[], above: readonly string[]): Promise<string[]> {
  const all: string[] = [];
  for (const line of lines) {
    const named = /^\s*(?:-r|--requirement)[\s=]+([^\s#]+)/.exec(line)?.[1];
    if (named === undefined) all.push(line);
    else {
      const path = normalize(named);
      const outside = path.startsWith('..') || path.startsWith('/');
      if (outside || above.includes(path)) {
        throw new AppError('invalid', `${above.at(-1)}: ${line.trim()} is no other list in the model's folder`);
      }
      all.push(...(await readList(folder, path, above)));
    }
  }
  return all.filter((line) => line.replace(/(^|\s)#.*$/, '').trim() !== '');
}

async function readPythonEnv(folder: string): Promise<string[]> {
  const listed = fieldOf(await readYaml(folder, 'python_env.yaml'), 'dependencies');
  return inlined(folder, texts(listed), ['python_env.yaml']);
}

/** conda.yaml lists conda's packages, and among them one map with pip's. */
function pipPart(conda: unknown): string[] {
  const dependencies = fieldOf(conda, 'dependencies');
  if (!Array.isArray(dependencies)) return [];
  return dependencies.flatMap((entry) => texts(fieldOf(entry, 'pip')));
}

async function readYaml(folder: string, path: string): Promise<unknown> {
  const text = await readText(folder, path);
  try {
    return parse(text);
  } catch (error) {
    throw new AppError('invalid', `${path} is not YAML: ${messageOf(error).split('\n', 1)[0]}`);
  }
}

async function readText(folder: string, path: string): Promise<string> {
  return readFile(join(folder, path), 'utf8').catch((error) => {
    throw new AppError('invalid', `${path} of the model cannot be read: ${error.code ?? messageOf(error)}`);
  });
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}

/** The project that a requirement line names, as PyPI compares names. */
function projectOf(line: string): string {
  const [name = ''] = /^[A-Za-z0-9._-]*/.exec(line.trim()) ?? [];
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-');
}
