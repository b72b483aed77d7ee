/** Brings model, endpoint and traffic to what an InferenceService says, through the API. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Endpoint, type ModelVersion, orMissing, type Traffic, trafficText } from '../../api-types.js';
import { usageError } from '../../exit.js';
import type { Session } from '../../session.js';
import { fetchStorage } from '../../storage/fetch.js';
import { uploadFile, uploadModel } from '../../upload.js';
import { canonical } from '../canonical.js';
import type { Outcome } from '../outcome.js';
import { layOut, type NamedFile } from './formats.js';
import type { ServingPlan } from './inference-service.js';
import { canaryTargets, lastRolledOut, sameTraffic } from './traffic.js';

/** What an InferenceService does not speak of: it stays as it is. */
const KEPT = ['access', 'routing', 'policy', 'responseCache'] as const;

export async function makeInferenceService(
  session: Session,
  { name, plan, folder }: { readonly name: string; readonly plan: ServingPlan; readonly folder: string },
): Promise<Outcome> {
  const { client, signal } = session;
  const path = `/api/v1/endpoints/${encodeURIComponent(name)}`;
  const before = (await orMissing(client.get<Endpoint>(path, { signal })))?.body;
  const model = before?.model ?? name;
  const version = await registerVersion(session, model, plan.source, folder);
  const kept = before ? Object.fromEntries(KEPT.map((field) => [field, before[field]])) : {};
  const settings = { ...kept, ...plan.endpoint, model };
  const after = (await client.put<Endpoint>(path, { json: settings, signal })).body;
  const { revision, isNew } = await revisionOf(session, path, after, version, reasonOf(plan));
  const traffic = await moveTraffic(session, path, revision, plan);
  const isSame = before !== undefined && settingsText(before) === settingsText(after) && !isNew && !traffic.moved;
  const result = (await client.get<Endpoint>(path, { signal })).body;
  return {
    action: before === undefined ? 'created' : isSame ? 'unchanged' : 'updated',
    detail: `version ${version} is revision ${revision}; traffic ${trafficText(result.traffic)}`,
    result,
  };
}

/** The version that these files or this server are: the same content again is the version that stands. */
async function registerVersion(
  session: Session,
  model: string,
  source: ServingPlan['source'],
  folder: string,
): Promise<number> {
  const json =
    'server' in source ? { files: [], server: source.server } : { files: await bring(session, source, folder) };
  const { client, signal } = session;
  const answer = await client.post<ModelVersion>(`/api/v1/models/${encodeURIComponent(model)}/versions`, {
    json,
    signal,
    timeoutMs: 900_000,
  });
  return answer.body.version;
}

async function bring(
  session: Session,
  { storageUri, format }: Extract<ServingPlan['source'], { storageUri: string }>,
  folder: string,
): Promise<readonly NamedFile[]> {
  const fetched = await fetchStorage(session.io, storageUri, folder);
  try {
    const laid = layOut(format, await uploadModel(session, fetched.path));
    if (typeof laid === 'string') throw usageError(`${storageUri}: ${laid}`);
    return [...laid.files, ...(await written(session, laid.more))];
  } finally {
    await fetched.remove();
  }
}

/** Uploads files that are made here, under their paths. */
async function written(session: Session, texts: Readonly<Record<string, string>>): Promise<NamedFile[]> {
  if (Object.keys(texts).length === 0) return [];
  const folder = await mkdtemp(join(tmpdir(), 'sluice-model-'));
  try {
    const files: NamedFile[] = [];
    for (const [path, text] of Object.entries(texts)) {
      const file = join(folder, path);
      await writeFile(file, text);
      files.push({ path, digest: (await uploadFile(session, file)).digest });
    }
    return files;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The newest revision where it is this version with these settings; otherwise a new one. */
async function revisionOf(
  session: Session,
  path: string,
  endpoint: Endpoint,
  version: number,
  reason: string,
): Promise<{ revision: number; isNew: boolean }> {
  const newest = endpoint.revisions[0];
  if (newest && newest.modelVersion === version && ownText(newest) === ownText(endpoint)) {
    return { revision: newest.number, isNew: false };
  }
  const { client, signal } = session;
  const made = await client.post<{ revision: number }>(`${path}/revisions`, { json: { version, reason }, signal });
  return { revision: made.body.revision, isNew: true };
}

async function moveTraffic(
  session: Session,
  path: string,
  revision: number,
  plan: ServingPlan,
): Promise<{ moved: boolean }> {
  const { client, signal } = session;
  const now = (await client.get<Traffic>(`${path}/traffic`, { signal })).body;
  const targets = canaryTargets(revision, lastRolledOut(revision, now.history ?? []), plan);
  if (sameTraffic(targets, now.targets)) return { moved: false };
  const json = { targets, generation: now.generation, reason: reasonOf(plan) };
  await client.put(`${path}/traffic`, { json, signal });
  return { moved: true };
}

/** Said of the revision and of the traffic, so that both tell where they came from. */
function reasonOf({ source, canaryPercent }: ServingPlan): string {
  const from = 'server' in source ? `image ${String(source.server.image)}` : source.storageUri;
  const canary = canaryPercent === undefined ? '' : `, canary of ${canaryPercent} %`;
  return `InferenceService applied: ${from.replace(/\?.*$/, '').slice(0, 800)}${canary}`;
}

/** What a revision keeps from its making. */
function ownText({ scaling, runtime, placement }: Pick<Endpoint, 'scaling' | 'runtime' | 'placement'>): string {
  return canonical({ scaling, runtime, placement });
}

function settingsText(endpoint: Endpoint): string {
  const { access, payloadLog } = endpoint;
  return `${ownText(endpoint)} ${canonical({ access, payloadLog })}`;
}
