/** The model formats of KServe that Sluice's engines serve, what serves them there, and how their files are to be named. */

export const FORMATS = ['onnx', 'sklearn', 'xgboost', 'lightgbm', 'tensorflow', 'mlflow'] as const;
export type Format = (typeof FORMATS)[number];

/** Formats with a field of their own in a predictor, from before `model`. */
export const LEGACY_FIELDS = [
  ...['onnx', 'sklearn', 'xgboost', 'lightgbm', 'tensorflow'],
  ...['pytorch', 'triton', 'huggingface', 'pmml', 'paddle'],
] as const;

const BY_CONTAINER = 'give a container with its server in predictor.containers';

/** Formats that none of the engines serves, with what to do. */
const OTHER_FORMATS: Readonly<Record<string, string>> = {
  pytorch: `export the model to ONNX, bring it as a class in model.py, or ${BY_CONTAINER}`,
  triton: `name the format of the model itself, such as onnx or tensorflow, or ${BY_CONTAINER}`,
  huggingface: BY_CONTAINER,
  vllm: BY_CONTAINER,
  pmml: BY_CONTAINER,
  paddle: `export the model to ONNX, or ${BY_CONTAINER}`,
};

/** Why a format is refused, and what to do. */
export function refusalOf(format: string): string {
  return `none of the engines serves it (they serve ${FORMATS.join(', ')}); ${OTHER_FORMATS[format] ?? BY_CONTAINER}`;
}

/** The runtimes that come with KServe and serve one of the formats without code of anybody's own. */
export const KNOWN_RUNTIMES: ReadonlySet<string> = new Set([
  'kserve-sklearnserver',
  'kserve-xgbserver',
  'kserve-lgbserver',
  'kserve-predictiveserver',
  'kserve-mlserver',
  'kserve-tensorflow-serving',
  'kserve-tritonserver',
  'kserve-openvinoserver',
]);

const PICKLES = /\.(joblib|pkl|pickle)$/;
const BOOSTERS = /\.(bst|json|ubj)$/;
const LIGHTGBM = /\.(bst|txt)$/;

/** What the files of a format are, for errors. */
const EXPECTED: Readonly<Record<Format, string>> = {
  onnx: 'an .onnx file',
  sklearn: 'one .joblib, .pkl or .pickle file at the top',
  xgboost: 'one .bst, .json or .ubj file at the top',
  lightgbm: 'one .bst or .txt file at the top',
  tensorflow: 'saved_model.pb at the top, or in numbered folders',
  mlflow: 'MLmodel at the top',
};

export interface NamedFile {
  readonly path: string;
  readonly digest: string;
}

export interface Layout {
  readonly files: readonly NamedFile[];
  /** Files to write beside them, by their paths. */
  readonly more: Readonly<Record<string, string>>;
}

/** Files as the engine of their format knows them; a string says what is not there. */
export function layOut(format: Format, files: readonly NamedFile[]): Layout | string {
  const missing = `there is no ${format} model among ${files.map((file) => file.path).join(', ')}: expected is ${EXPECTED[format]}`;
  const has = (pattern: RegExp) => files.some((file) => pattern.test(file.path));
  switch (format) {
    case 'onnx':
      return has(/\.onnx$/) ? { files, more: {} } : missing;
    case 'tensorflow':
      return has(/^([^/]+\/)?saved_model\.pb$/) ? { files, more: {} } : missing;
    case 'mlflow':
      return has(/^MLmodel$/) ? { files, more: {} } : missing;
    case 'sklearn':
      return renamed(files, PICKLES) ?? missing;
    case 'xgboost':
      return renamed(files, BOOSTERS) ?? missing;
    case 'lightgbm': {
      const [only, ...others] = topFiles(files, LIGHTGBM);
      if (!only || others.length > 0) return missing;
      const requirements: Record<string, string> = has(/^requirements\.txt$/)
        ? {}
        : { 'requirements.txt': 'lightgbm\nscipy\n' };
      return { files, more: { 'model.py': lightgbmModel(only.path), ...requirements } };
    }
  }
}

/** The one file at the top that is the model is called `model`, which is how the engine knows it. */
function renamed(files: readonly NamedFile[], pattern: RegExp): Layout | undefined {
  const found = topFiles(files, pattern);
  if (found.some((file) => /^model\./.test(file.path))) return { files, more: {} };
  const [only, ...others] = found;
  if (!only || others.length > 0) return undefined;
  const [ending] = pattern.exec(only.path) ?? [];
  return {
    files: files.map((file) => (file === only ? { ...file, path: `model${ending}` } : file)),
    more: {},
  };
}

function topFiles(files: readonly NamedFile[], pattern: RegExp): NamedFile[] {
  const beside = /^(requirements\.txt|model-settings\.json|settings\.json|.*package.*\.json)$/;
  return files.filter((file) => !file.path.includes('/') && pattern.test(file.path) && !beside.test(file.path));
}

/** LightGBM's own format has no engine; a class of a few lines serves it as KServe does. */
function lightgbmModel(file: string): string {
  return `import os

import lightgbm
import numpy as np


class Model:
    batchable = True

    def load(self, path):
        self.booster = lightgbm.Booster(model_file=os.path.join(path, ${JSON.stringify(file)}))

    def signature(self):
        classes = self.booster.num_model_per_iteration()
        return {
            "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [-1, self.booster.num_feature()]}],
            "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1] if classes == 1 else [-1, classes]}],
        }

    def predict(self, inputs):
        (rows,) = inputs.values()
        return {"predict": np.asarray(self.booster.predict(rows), dtype=np.float64)}
`;
}
