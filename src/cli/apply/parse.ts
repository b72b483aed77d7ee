/** Reads multi-document YAML into resources, with the line of everything that is wrong. */
import {
  type Document,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  parseDocument,
} from 'yaml';
import { usageError } from '../exit.js';
import { closest, shown } from './closest.js';
import { API_VERSION, DOCUMENT_FIELDS, type Fields, KINDS, type Kind, SPEC_FIELDS } from './fields.js';
import type { Path } from './kserve/fields.js';
import { type Foreign, foreignKindOf, translate } from './kserve/translate.js';

interface Place {
  /** File and line, as errors show them. */
  readonly where: string;
  /** Folder that relative paths are of. */
  readonly folder: string;
}

/** A document of Sluice's own kinds. */
export interface OwnResource extends Place {
  readonly kind: Kind;
  readonly name: string;
  readonly spec: Readonly<Record<string, unknown>>;
}

/** A document of somebody else's, with what it becomes. */
export type ForeignResource = Place &
  Foreign & {
    readonly name: string;
    /** What of it is not honoured as it stands, each with its place. */
    readonly warnings: readonly string[];
  };

export type Resource = OwnResource | ForeignResource;

/** All resources of a text. Throws one error that lists every mistake as `file:line: message`. */
export function parseResources(text: string, file: string, folder: string): Resource[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const problems: string[] = [];
  const at = (offset: number | undefined) => `${file}:${offset === undefined ? 1 : lines.linePos(offset).line}`;
  const resources: Resource[] = [];
  for (const document of Array.isArray(documents) ? documents : []) {
    const broken = document.errors[0];
    if (broken) {
      problems.push(`${at(broken.pos[0])}: ${broken.message}`);
      continue;
    }
    const root: unknown = document.contents;
    // a comment between two separators is no resource
    if (root === null || (isScalar(root) && root.value === null)) continue;
    const before = problems.length;
    const place = { where: at(offsetOf(root)), folder };
    const foreign = isMap(root) ? foreignKindOf(root.get('apiVersion'), root.get('kind')) : undefined;
    if (foreign !== undefined) {
      const { name, findings, ...translated } = translate(foreign, document.toJS() as Record<string, unknown>);
      const placed = (level: string) =>
        findings
          .filter((finding) => finding.level === level)
          .map(({ path, message }) => `${at(offsetOf(nearestNode(document, path)))}: ${message}`);
      problems.push(...placed('error'));
      if (translated.made) resources.push({ ...translated.made, ...place, name, warnings: placed('warning') });
      continue;
    }
    const say = (node: unknown, message: string) => problems.push(`${at(offsetOf(node))}: ${message}`);
    const kind = checkDocument(root, say);
    if (problems.length > before || kind === undefined) continue;
    const plain = document.toJS() as { metadata: { name: string }; spec?: Record<string, unknown> | null };
    resources.push({ kind, name: plain.metadata.name, spec: plain.spec ?? {}, ...place });
  }
  if (problems.length > 0) throw usageError(problems.join('\n'));
  return resources;
}

/** One resource's spec: from a whole document of that kind, or from its fields alone (a `name` among them is ignored). */
export function parseSpec(text: string, file: string, kind: Kind): Readonly<Record<string, unknown>> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const root: unknown = document.contents;
  if (document.errors.length > 0 || !isMap(root) || root.has('kind')) {
    const [only, ...more] = parseResources(text, file, '.');
    if (only?.kind === kind && 'spec' in only && more.length === 0) return only.spec;
    throw usageError(`${file} does not describe exactly one ${kind}`);
  }
  const problems: string[] = [];
  checkFields(root, { name: 'leaf', ...SPEC_FIELDS[kind] }, '', (node, message) => {
    problems.push(`${file}:${lines.linePos(offsetOf(node) ?? 0).line}: ${message}`);
  });
  if (problems.length > 0) throw usageError(problems.join('\n'));
  const { name: _name, ...spec } = document.toJS() as Record<string, unknown>;
  return spec;
}

type Say = (node: unknown, message: string) => void;

function checkDocument(root: unknown, say: Say): Kind | undefined {
  if (!isMap(root)) {
    say(root, 'expected a resource with apiVersion, kind, metadata and spec');
    return undefined;
  }
  const version = root.get('apiVersion');
  if (version !== API_VERSION)
    say(root.get('apiVersion', true) ?? root, `apiVersion is ${shown(version)}, expected ${API_VERSION}`);
  const given = root.get('kind');
  const kind = KINDS.find((one) => one === given);
  if (!kind) {
    say(root.get('kind', true) ?? root, `kind is ${shown(given)}, expected one of ${KINDS.join(', ')}`);
    return undefined;
  }
  checkFields(root, DOCUMENT_FIELDS, '', say);
  const name = root.getIn(['metadata', 'name']);
  if (typeof name !== 'string' || name === '') {
    const node = root.getIn(['metadata', 'name'], true) ?? root.get('metadata', true) ?? root;
    say(node, `metadata.name is ${shown(name)}, expected the name of the ${kind}`);
  }
  const spec = root.get('spec', true);
  if (isMap(spec)) checkFields(spec, SPEC_FIELDS[kind], 'spec', say);
  else if (spec !== undefined && !(isScalar(spec) && spec.value === null)) say(spec, 'spec is not a map of fields');
  return kind;
}

/** Unknown fields, with what may have been meant. */
function checkFields(node: unknown, fields: Fields, path: string, say: Say): void {
  if (isSeq(node)) {
    for (const [at, item] of node.items.entries()) checkFields(item, fields, `${path}[${at}]`, say);
    return;
  }
  if (!isMap(node)) return;
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const full = path === '' ? name : `${path}.${name}`;
    const known = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (known === undefined) {
      const close = closest(name, Object.keys(fields));
      const help = close ? `did you mean ${close}?` : `known are ${Object.keys(fields).join(', ')}`;
      say(key, `there is no field ${full}; ${help}`);
    } else if (known !== 'leaf') {
      const isPlain = isScalar(value) && value.value !== null;
      if (isPlain) say(value, `${full} is ${shown(value.value)}, expected fields`);
      checkFields(value, known, full, say);
    }
  }
}

/** The node of a path, or the last one on the way to it that is there. */
function nearestNode(document: Document, path: Path): unknown {
  for (let length = path.length; length > 0; length--) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (node !== undefined) return node;
  }
  return document.contents;
}

function offsetOf(node: unknown): number | undefined {
  if (isScalar(node) || isCollection(node)) return (node as Node).range?.[0];
  return undefined;
}
