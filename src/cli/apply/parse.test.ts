import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { endpointSpecSchema } from '../../core/endpoints/endpoint.js';
import { jobSpecSchema } from '../../core/training/spec.js';
import { type Fields, SPEC_FIELDS } from './fields.js';
import { parseResources, parseSpec } from './parse.js';

const parse = (text: string) => parseResources(text, 'x.yaml', '/folder');
const HEAD = 'apiVersion: sluice/v1\nkind: Endpoint\nmetadata: { name: digits }\n';

describe('parseResources', () => {
  it('reads several documents, skipping empty ones', () => {
    const found = parse(
      `# first\n${HEAD}spec: { model: digits }\n---\n# nothing\n---\n${HEAD.replace('Endpoint', 'Key')}`,
    );
    expect(found).toEqual([
      { kind: 'Endpoint', name: 'digits', spec: { model: 'digits' }, where: 'x.yaml:2', folder: '/folder' },
      { kind: 'Key', name: 'digits', spec: {}, where: 'x.yaml:9', folder: '/folder' },
    ]);
  });

  it.each([
    [
      `${HEAD}spec:\n  model: digits\n  scalling:\n    minReplicas: 1\n`,
      'x.yaml:6: there is no field spec.scalling; did you mean scaling?',
    ],
    [
      `${HEAD}spec:\n  model: digits\n  scaling:\n    minReplica: 1\n`,
      'x.yaml:7: there is no field spec.scaling.minReplica; did you mean minReplicas?',
    ],
    [`${HEAD}spec:\n  scaling: 3\n`, 'x.yaml:5: spec.scaling is 3, expected fields'],
    [
      `${HEAD}spec:\n  policy:\n    gates:\n      - kind: golden\n        data: x\n`,
      'x.yaml:8: there is no field spec.policy.gates[0].data; known are kind, name',
    ],
    [`${HEAD}zzz: 1\n`, 'x.yaml:4: there is no field zzz; known are apiVersion, kind, metadata, spec'],
    [
      'apiVersion: sluice/v1\nkind: Pod\n',
      'x.yaml:2: kind is "Pod", expected one of Dataset, Model, Endpoint, Key, Job',
    ],
    ['apiVersion: v1\nkind: Key\nmetadata: { name: a }\n', 'x.yaml:1: apiVersion is "v1", expected sluice/v1'],
    [
      'apiVersion: sluice/v1\nkind: Key\nmetadata:\n  name: 3\n',
      'x.yaml:4: metadata.name is 3, expected the name of the Key',
    ],
    ['a: [1\nb: 2\n', 'x.yaml:2: '],
    ['- 1\n', 'x.yaml:1: expected a resource'],
    [`${HEAD}spec: 4\n`, 'x.yaml:4: spec is not a map'],
  ])('says where a mistake is: %j', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  it('lists every mistake at once', () => {
    expect(() => parse(`${HEAD}spec: { a: 1 }\n---\nkind: Nothing\n`)).toThrow(
      /x\.yaml:4: .*\n.*x\.yaml:6: apiVersion.*\n.*x\.yaml:6: kind/,
    );
  });
});

describe('parseSpec', () => {
  it('takes a spec alone or a whole document', () => {
    expect(parseSpec('name: digits\nmodel: m\n', 'f', 'Endpoint')).toEqual({ model: 'm' });
    expect(parseSpec(`${HEAD}spec: { model: m }\n`, 'f', 'Endpoint')).toEqual({ model: 'm' });
    expect(() => parseSpec('model: m\nmodle: m\n', 'f', 'Endpoint')).toThrow(
      'f:2: there is no field modle; did you mean model?',
    );
    expect(() => parseSpec(HEAD, 'f', 'Job')).toThrow('does not describe exactly one Job');
  });
});

describe('the known fields', () => {
  it.each([
    ['Endpoint', endpointSpecSchema, ['version']],
    ['Job', jobSpecSchema, []],
  ] as const)('of %s are those of the API', (kind, schema, more) => {
    const own = fieldsOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
    const { name: _name, ...rest } = own;
    for (const field of more) rest[field] = {};
    expect(shapeOf(SPEC_FIELDS[kind])).toEqual(rest);
  });
});

interface Tree {
  [name: string]: Tree;
}

/** The fields of a JSON schema, through lists and alternatives. */
function fieldsOf(schema: unknown): Tree {
  if (typeof schema !== 'object' || schema === null) return {};
  const { properties, items, oneOf, anyOf } = schema as {
    properties?: object;
    items?: unknown;
    oneOf?: unknown[];
    anyOf?: unknown[];
  };
  const out: Tree = items === undefined ? {} : fieldsOf(items);
  for (const [name, inner] of Object.entries(properties ?? {})) out[name] = fieldsOf(inner);
  for (const one of [...(oneOf ?? []), ...(anyOf ?? [])]) Object.assign(out, fieldsOf(one));
  return out;
}

function shapeOf(fields: Fields): Tree {
  return Object.fromEntries(
    Object.entries(fields).map(([name, inner]) => [name, inner === 'leaf' ? {} : shapeOf(inner)]),
  );
}
