/** Rollouts: progressive changes of traffic, and a person's hand on them. */
import { createRoute, z } from '@hono/zod-openapi';
import type { Caller } from '../../core/access/key.js';
import { actOnRollout, retryRollout, rollBack, startByHand } from '../../core/rollouts/actions.js';
import { NO_STATS } from '../../core/rollouts/analysis.js';
import { readArms } from '../../core/rollouts/comparison.js';
import { rolloutPlanSchema, stepsOf, wordsOf } from '../../core/rollouts/plan.js';
import type { RolloutKind, RolloutState } from '../../core/rollouts/rollout.js';
import { getRollout, listRollouts, type RolloutRow, rolloutEvents } from '../../core/rollouts/store.js';
import { analysisViewSchema } from '../analysis-view.js';
import { statsSchema, statsView } from '../endpoint-view.js';
import { enqueueOrLog } from '../enqueue.js';
import { answer, jsonRequest, limit, named, newRouter, READ_ERRORS, time, WRITE_ERRORS } from '../openapi.js';
import type { Services } from '../services.js';
import { settled } from '../settled.js';

const tags = ['Rollouts'];
const STATES = ['running', 'paused', 'promoted', 'rolled_back', 'aborted'] as const satisfies readonly RolloutState[];
const KINDS = ['rollout', 'rollback'] as const satisfies readonly RolloutKind[];
const state = z.enum(STATES);
const params = z.object({ rollout: named('Id of the rollout.') });
const endpointParams = z.object({ endpoint: named('Name of the endpoint.') });
const revisionNumber = z.number().int().min(1).max(2_147_483_647);

const summarySchema = z
  .object({
    id: z.string(),
    endpoint: z.string(),
    candidate: z.number().int().describe('The new revision.'),
    stable: z.number().int().describe('The revision that it is compared with.'),
    state,
    kind: z
      .enum(KINDS)
      .describe('rollback: a way back to an earlier revision, which takes all traffic as soon as it is ready.'),
    step: z.number().int().describe('Index into the steps; -1 while the candidate is brought up.'),
    steps: z.array(z.string()).describe('The steps that the plan comes to, in words.'),
    plan: rolloutPlanSchema,
    reason: z.string(),
    promotionId: z.string().nullable(),
    retryOf: z.string().nullable().describe('The rollout that this one tries again.'),
    createdAt: time,
    endedAt: time.nullable(),
  })
  .openapi('RolloutSummary');

const rolloutSchema = summarySchema
  .extend({
    analysis: analysisViewSchema.nullable().describe('The last verdict; null before the candidate had traffic.'),
    events: z
      .array(z.object({ at: time, kind: z.string(), message: z.string(), data: z.record(z.string(), z.unknown()) }))
      .describe('What happened, oldest first.'),
    stats: z
      .object({ stable: statsSchema, candidate: statsSchema })
      .describe(
        'Both over the same window: since the candidate first had traffic. Where all traffic switches at once, the stable revision as it was before.',
      ),
  })
  .openapi('Rollout');

const list = createRoute({
  method: 'get',
  path: '/rollouts',
  operationId: 'listRollouts',
  summary: 'Rollouts, newest first',
  tags,
  request: { query: z.object({ endpoint: z.string().optional(), limit: limit(1000, 100) }) },
  responses: { 200: answer(z.object({ rollouts: z.array(summarySchema) }), 'Rollouts.'), ...READ_ERRORS },
});

const get = createRoute({
  method: 'get',
  path: '/rollouts/{rollout}',
  operationId: 'getRollout',
  summary: 'A rollout with its events and the numbers of both revisions',
  tags,
  request: { params },
  responses: { 200: answer(rolloutSchema, 'The rollout.'), ...READ_ERRORS },
});

const ACTIONS = {
  pause: 'Stay at this step; a regression still rolls back',
  resume: 'Go on',
  promote: 'Give the candidate everything now',
  abort: 'Give the stable revision everything back now',
} as const;

const start = createRoute({
  method: 'post',
  path: '/endpoints/{endpoint}/rollouts',
  operationId: 'startRollout',
  summary: 'Roll out a revision that is there already, without gates',
  description:
    "By the endpoint's plan, or by another one for this rollout alone. A rollout in flight is replaced. To take a model version through its gates first, request a promotion.",
  tags,
  request: {
    params: endpointParams,
    body: jsonRequest(
      z.object({ revision: revisionNumber, plan: rolloutPlanSchema.optional() }).strict().openapi('NewRollout'),
    ),
  },
  responses: { 202: answer(z.object({ rollout: z.string() }), 'Its id.'), ...WRITE_ERRORS },
});

const retry = createRoute({
  method: 'post',
  path: '/rollouts/{rollout}/retry',
  operationId: 'retryRollout',
  summary: 'Start a rollout that did not succeed once more, against what is stable now',
  tags,
  request: { params },
  responses: { 202: answer(z.object({ rollout: z.string() }), "The new rollout's id."), ...WRITE_ERRORS },
});

const rollback = createRoute({
  method: 'post',
  path: '/endpoints/{endpoint}/rollback',
  operationId: 'rollBack',
  summary: 'Go back to an earlier revision, without steps and without analysis',
  description:
    'At once where it is ready, as the one before is through its bake time; else as soon as it is. A rollout in flight is aborted; without a revision that is all.',
  tags,
  request: {
    params: endpointParams,
    body: jsonRequest(
      z
        .object({
          revision: revisionNumber
            .optional()
            .describe('By default the one that had all the traffic before the present one.'),
          force: z
            .boolean()
            .default(false)
            .describe('At once, even if no replica of it is ready: requests wait for one.'),
          reason: z.string().max(1000).optional(),
        })
        .strict()
        .openapi('NewRollback'),
    ),
  },
  responses: {
    200: answer(
      z.object({
        revision: z.number().int().describe('The revision that it goes back to.'),
        rollout: z.string().nullable().describe('Of a way back that waits for the revision; null when it is done.'),
      }),
      'Where it goes back to.',
    ),
    ...WRITE_ERRORS,
  },
});

/** Routes of rollouts. */
export function rolloutRoutes(services: Services) {
  const app = newRouter();
  const { db } = services;

  app.openapi(list, async (c) => {
    const rows = await listRollouts(db, c.get('caller').project, c.req.valid('query'));
    return c.json({ rollouts: rows.map(summaryView) }, 200);
  });

  app.openapi(get, async (c) => {
    const row = await getRollout(db, c.get('caller').project, c.req.valid('param').rollout);
    const since = row.compared_since;
    const events = await rolloutEvents(db, row.id);
    const [stable, candidate] = since ? await readArms(db, row, since) : [NO_STATS, NO_STATS];
    return c.json(
      {
        ...summaryView(row),
        analysis: row.analysis,
        events: events.map((event) => ({
          at: event.at.toISOString(),
          kind: event.kind,
          message: event.message,
          data: event.data,
        })),
        stats: { stable: statsView(stable), candidate: statsView(candidate) },
      },
      200,
    );
  });

  for (const [action, summary] of Object.entries(ACTIONS) as [keyof typeof ACTIONS, string][]) {
    const act = createRoute({
      method: 'post',
      path: `/rollouts/{rollout}/${action}`,
      operationId: `${action}Rollout`,
      summary,
      tags,
      request: { params },
      responses: { 200: answer(z.object({ state }), 'Its state now.'), ...WRITE_ERRORS },
    });
    app.openapi(act, async (c) => {
      const { rollout } = c.req.valid('param');
      const now = await actOnRollout(db, rollout, action, hand(c.get('caller')));
      await enqueueOrLog(services, 'rollout.advance', { rolloutId: rollout }, rollout);
      return c.json({ state: now }, 200);
    });
  }

  app.openapi(start, async (c) => {
    const { endpoint } = c.req.valid('param');
    const rollout = await startByHand(db, endpoint, c.req.valid('json'), hand(c.get('caller')));
    await enqueueOrLog(services, 'rollout.advance', { rolloutId: rollout }, `${rollout}-0`);
    return c.json({ rollout }, 202);
  });

  app.openapi(retry, async (c) => {
    const rollout = await retryRollout(db, c.req.valid('param').rollout, hand(c.get('caller')));
    await enqueueOrLog(services, 'rollout.advance', { rolloutId: rollout }, `${rollout}-0`);
    return c.json({ rollout }, 202);
  });

  app.openapi(rollback, async (c) => {
    const caller = c.get('caller');
    const { endpoint } = c.req.valid('param');
    const back = await rollBack(db, endpoint, c.req.valid('json'), hand(caller));
    if (back.rollout) await enqueueOrLog(services, 'rollout.advance', { rolloutId: back.rollout }, `${back.rollout}-0`);
    await settled(services, caller.project, endpoint);
    return c.json(back, 200);
  });

  return app;

  function hand({ project, actor }: Caller) {
    return { project, actor, nowMs: services.clock.now() };
  }
}

function summaryView(row: RolloutRow) {
  return {
    id: row.id,
    endpoint: row.endpoint,
    candidate: row.candidate,
    stable: row.stable,
    state: row.state,
    kind: row.kind,
    step: row.step,
    steps: stepsOf(row.plan, row.replicas).map(wordsOf),
    plan: row.plan,
    reason: row.reason,
    promotionId: row.promotion_id,
    retryOf: row.retry_of,
    createdAt: row.created_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}
