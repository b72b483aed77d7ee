/** Makes one resource as its document says, through the API, and tells what that changed. */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { type Endpoint, type Key, listOf, type Model, type ModelVersion, orMissing } from '../api-types.js';
import { usageError } from '../exit.js';
import { resolveVersion } from '../resolve.js';
import type { Session } from '../session.js';
import { readRequirements } from '../train/requirements.js';
import { uploadCode, uploadFile, uploadModel } from '../upload.js';
import { canonical } from './canonical.js';
import type { Kind } from './fields.js';
import { makeInferenceService } from './kserve/make-inference-service.js';
import { makeKnativeTraffic } from './kserve/make-knative-traffic.js';
import type { Outcome } from './outcome.js';
import type { OwnResource, Resource } from './parse.js';

const MAKERS: Readonly<Record<Kind, (session: Session, resource: OwnResource) => Promise<Outcome>>> = {
  Dataset: makeDataset,
  Model: makeModel,
  Endpoint: makeEndpoint,
  Key: makeKey,
  Job: makeJob,
};

/** Brings one resource to what its document says. */
export function makeResource(session: Session, resource: Resource): Promise<Outcome> {
  switch (resource.kind) {
    case 'InferenceService':
      return makeInferenceService(session, resource);
    case 'Service':
      return makeKnativeTraffic(session, resource);
    default:
      return MAKERS[resource.kind](session, resource);
  }
}

async function makeDataset(session: Session, { name, spec, where, folder }: OwnResource): Promise<Outcome> {
  const path = textField(spec.path, `${where}: spec.path`);
  const given = textField(spec.digest, `${where}: spec.digest`);
  if ((path === undefined) === (given === undefined))
    throw usageError(`${where}: a Dataset needs spec.path or spec.digest`);
  const digest = path === undefined ? given : (await uploadFile(session, resolve(folder, path))).digest;
  const answer = await session.client.post<{ version: number }>(
    `/api/v1/datasets/${encodeURIComponent(name)}/versions`,
    {
      json: { digest },
      signal: session.signal,
    },
  );
  const { version } = answer.body;
  const action = answer.status === 200 ? 'unchanged' : version === 1 ? 'created' : 'updated';
  return { action, detail: `version ${version}`, result: answer.body };
}

async function makeModel(session: Session, { name, spec, where, folder }: OwnResource): Promise<Outcome> {
  const { client, signal } = session;
  const at = `/api/v1/models/${encodeURIComponent(name)}`;
  const path = textField(spec.path, `${where}: spec.path`);
  if (path !== undefined && spec.files !== undefined)
    throw usageError(`${where}: a Model has spec.path or spec.files, not both`);
  const before = (await orMissing(client.get<Model>(at, { signal })))?.body;
  if (!before) {
    const description = textField(spec.description, `${where}: spec.description`);
    await client.post('/api/v1/models', { json: { name, ...(description ? { description } : {}) }, signal });
  }
  let changed = false;
  const files = path === undefined ? spec.files : await uploadModel(session, resolve(folder, path));
  let detail = '';
  if (files !== undefined) {
    const json = { files, ...(spec.metrics === undefined ? {} : { metrics: spec.metrics }) };
    const answer = await client.post<ModelVersion>(`${at}/versions`, { json, signal, timeoutMs: 300_000 });
    changed = answer.status === 201;
    detail = `version ${answer.body.version}`;
  }
  for (const [alias, value] of Object.entries(objectField(spec.aliases, `${where}: spec.aliases`))) {
    const { version, aliases } = await resolveVersion(session, name, String(value));
    if (aliases[alias] === version) continue;
    const json = { version, expect: aliases[alias] ?? null, reason: 'applied' };
    await client.put(`${at}/aliases/${encodeURIComponent(alias)}`, { json, signal });
    changed = true;
  }
  const after = await client.get<Model>(at, { signal });
  return { action: before ? (changed ? 'updated' : 'unchanged') : 'created', detail, result: after.body };
}

async function makeEndpoint(session: Session, { name, spec, where }: OwnResource): Promise<Outcome> {
  const { client, signal } = session;
  const path = `/api/v1/endpoints/${encodeURIComponent(name)}`;
  const { version: wanted, ...settings } = spec;
  const before = (await orMissing(client.get<Endpoint>(path, { signal })))?.body;
  if (!before && wanted !== undefined) {
    const model = textField(settings.model, `${where}: spec.model`);
    if (model === undefined) throw usageError(`${where}: an Endpoint needs spec.model`);
    const { version } = await resolveVersion(session, model, String(wanted));
    const made = await client.post<Endpoint>('/api/v1/endpoints', { json: { ...settings, name, version }, signal });
    return { action: 'created', detail: `serves version ${version}`, result: made.body };
  }
  const answer = await client.put<Endpoint>(path, { json: settings, signal });
  if (!before) return { action: 'created', detail: '', result: answer.body };
  const same = canonical(settingsOf(before)) === canonical(settingsOf(answer.body));
  return { action: same ? 'unchanged' : 'updated', detail: '', result: answer.body };
}

/** A Key with the name of a live one is that one: keys cannot change, and are shown only once. */
async function makeKey(session: Session, { name, spec, where }: OwnResource): Promise<Outcome> {
  const { client, signal } = session;
  const keys = listOf<Key>((await client.get<unknown>('/api/v1/keys', { signal })).body, 'keys');
  const isLive = (key: Key) => !key.revokedAt && (!key.expiresAt || Date.parse(key.expiresAt) > session.io.now());
  const live = keys.find((key) => key.name === name && isLive(key));
  if (live) {
    if (spec.role !== undefined && spec.role !== live.role) {
      throw usageError(
        `${where}: key "${name}" has role ${live.role}, and a key's role cannot change`,
        `revoke it first: \`sluice keys revoke ${live.id}\``,
      );
    }
    return { action: 'unchanged', detail: live.id, result: live };
  }
  const answer = await client.post<{ id: string; key: string }>('/api/v1/keys', {
    json: { role: 'predict', ...spec, name },
    signal,
  });
  return { action: 'created', detail: `${answer.body.key} (shown once)`, result: answer.body };
}

/** The same Job document again is the same job: its content is its idempotency key. */
async function makeJob(session: Session, { name, spec, where, folder }: OwnResource): Promise<Outcome> {
  const code = textField(spec.code, `${where}: spec.code`);
  if (code === undefined) throw usageError(`${where}: a Job needs spec.code, a folder or script`);
  const digest = code.startsWith('sha256:') ? code : (await uploadCode(session, resolve(folder, code))).digest;
  const requirements =
    typeof spec.requirements === 'string'
      ? await readRequirements(resolve(folder, spec.requirements))
      : spec.requirements;
  const json = { ...spec, name, code: digest, ...(requirements === undefined ? {} : { requirements }) };
  const key = `apply-${createHash('sha256').update(canonical(json)).digest('hex').slice(0, 40)}`;
  const answer = await session.client.post<{ id: string; state: string }>('/api/v1/jobs', {
    json,
    headers: { 'idempotency-key': key },
    signal: session.signal,
  });
  const { id, state } = answer.body;
  return { action: answer.status === 200 ? 'unchanged' : 'created', detail: `${id} ${state}`, result: answer.body };
}

function settingsOf(endpoint: Endpoint) {
  const { model, access, scaling, routing, policy, runtime, placement, payloadLog, responseCache } = endpoint;
  return { model, access, scaling, routing, policy, runtime, placement, payloadLog, responseCache };
}

function textField(value: unknown, what: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return value;
  throw usageError(`${what} is ${JSON.stringify(value)}, expected text`);
}

function objectField(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  throw usageError(`${what} is ${JSON.stringify(value)}, expected names with values`);
}
