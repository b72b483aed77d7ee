/**
 * The pods' own API (docs/pods-api.md): model files for model servers, code, outputs and checkpoints for jobs. A pod shows
 * the token that its cluster gave it, and gets what it is there for, nothing else.
 */
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import type { Digest } from '../../core/blobs.js';
import { callerOf, type JobPod, type PodCaller, type PodIdentity } from '../../core/pods/identity.js';
import { jobOfPod, mayWrite, podJob, setCheckpoint, takeOutputs } from '../../core/pods/jobs.js';
import { podModel, revisionOfPod } from '../../core/pods/models.js';
import { AppError } from '../../errors.js';
import type { GatewayEnv } from '../env.js';
import type { Services } from '../services.js';
import { checkDigest, receiveBlob, sendBlob } from '../uploads.js';

interface PodEnv {
  Variables: GatewayEnv['Variables'] & { pod: PodCaller };
  Bindings: GatewayEnv['Bindings'];
}

/** How long a presigned URL is good: for beginning a download, not for ending it. */
const PRESIGNED_SEC = 60;

export function podRoutes(services: Services, identity: PodIdentity) {
  const { db, routing } = services;
  const app = new Hono<PodEnv>();
  app.use(authenticatedPod(identity));

  app.get('/model', async (c) => {
    const pod = c.get('pod');
    if (pod.kind !== 'model') throw wrongKind('a model', pod);
    return c.json(podModel(await revisionOfPod(db, routing, pod)));
  });

  app.get('/job', async (c) => {
    const pod = jobPod(c);
    return c.json(podJob(pod, await jobOfPod(db, pod)));
  });

  app.get('/blobs/:digest', async (c) => {
    const digest = checkDigest(c.req.param('digest'));
    return send(c, services, digest, await sizeFor(services, c.get('pod'), digest));
  });

  app.put('/outputs', async (c) => {
    const pod = jobPod(c);
    mayWrite(pod);
    await jobOfPod(db, pod);
    const stored = await receiveBlob(c, services);
    await takeOutputs(db, pod, stored.digest);
    return c.json(stored);
  });

  app.get('/checkpoint', async (c) => {
    const pod = jobPod(c);
    const { checkpoint } = await jobOfPod(db, pod);
    if (checkpoint === null) {
      throw new AppError('not_found', `job "${pod.jobId}" has no checkpoint yet`, { details: { job: pod.jobId } });
    }
    return send(c, services, checkpoint, await storedSize(services, checkpoint));
  });

  app.put('/checkpoint', async (c) => {
    const pod = jobPod(c);
    mayWrite(pod);
    await jobOfPod(db, pod);
    const stored = await receiveBlob(c, services);
    await setCheckpoint(db, pod, stored.digest);
    return c.json(stored);
  });

  return app;
}

function authenticatedPod(identity: PodIdentity): MiddlewareHandler<PodEnv> {
  return async (c, next) => {
    const [, token] = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '') ?? [];
    if (token === undefined)
      throw new AppError('unauthenticated', "the pod's token is needed: send Authorization: Bearer TOKEN");
    c.set('pod', callerOf(await identity.verify(token), identity.namespace));
    await next();
  };
}

function jobPod(c: Context<PodEnv>): JobPod {
  const pod = c.get('pod');
  if (pod.kind === 'job') return pod;
  throw wrongKind('a job', pod);
}

function wrongKind(wanted: string, { kind }: PodCaller): AppError {
  return new AppError('forbidden', `this is for the pods of ${wanted}; the caller is one of a ${kind}`, {
    details: { kind },
  });
}

/** The size of a blob that this pod may have; `not_found` for any other, whether it exists or not. */
async function sizeFor(services: Services, pod: PodCaller, digest: Digest): Promise<number> {
  if (pod.kind === 'model') {
    const { artifact } = await revisionOfPod(services.db, services.routing, pod);
    const file = artifact.files.find((one) => one.digest === digest);
    if (file) return file.bytes;
  } else {
    const { spec, checkpoint } = await jobOfPod(services.db, pod);
    if (digest === spec.code || digest === checkpoint) return storedSize(services, digest);
  }
  throw new AppError('not_found', `${digest} is no blob of this pod's ${pod.kind}`, { details: { digest } });
}

async function storedSize({ blobs }: Services, digest: Digest): Promise<number> {
  const found = await blobs.stat(digest);
  if (found) return found.bytes;
  throw new AppError('not_found', `blob ${digest} is not there any more`, { details: { digest } });
}

/** The bytes, or where to get them: a store that many can reach takes this load off the gateway. */
async function send(c: Context<PodEnv>, services: Services, digest: Digest, bytes: number) {
  if (services.blobs.presign && c.req.query('redirect') !== 'false')
    return c.redirect(await services.blobs.presign(digest, PRESIGNED_SEC), 307);
  c.header('Accept-Ranges', 'bytes');
  const start = startOf(c.req.header('range'), bytes);
  return sendBlob(c, services, { digest, bytes, name: digest.replace(':', '-'), start });
}

/** Where a download that broke off goes on (`bytes=N-`). Of other ranges the whole is sent, as a server may. */
function startOf(range: string | undefined, bytes: number): number {
  const [, start] = /^bytes=(\d{1,15})-$/.exec(range ?? '') ?? [];
  return start !== undefined && Number(start) < bytes ? Number(start) : 0;
}
