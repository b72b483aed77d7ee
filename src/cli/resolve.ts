/** Finds what a name on the command line stands for. */
import type { Endpoint, Model } from './api-types.js';
import { CliError, EXIT, usageError } from './exit.js';
import type { Session } from './session.js';

/** A model version from a number, `latest` or an alias; with the model's aliases as they stand. */
export async function resolveVersion(
  session: Session,
  model: string,
  text: string,
): Promise<{ version: number; aliases: Readonly<Record<string, number>> }> {
  const answer = await session.client.get<Model>(`/api/v1/models/${encodeURIComponent(model)}`, {
    signal: session.signal,
  });
  const { lastVersion, aliases } = answer.body;
  if (/^[1-9]\d*$/.test(text)) return { version: Number(text), aliases };
  if (text === 'latest' && lastVersion > 0) return { version: lastVersion, aliases };
  const version = aliases[text];
  if (version !== undefined) return { version, aliases };
  const known = Object.keys(aliases).join(', ') || 'none';
  throw usageError(
    `model "${model}" has no version or alias "${text}"`,
    `use a number, "latest" or an alias (it has: ${known})`,
  );
}

/** A rollout's id from itself, or from the name of the endpoint whose rollout is under way. */
export async function resolveRollout(session: Session, text: string): Promise<string> {
  // names have no underscore, ids always do
  if (text.includes('_')) return text;
  const answer = await session.client.get<Endpoint>(`/api/v1/endpoints/${encodeURIComponent(text)}`, {
    signal: session.signal,
  });
  if (answer.body.rollout) return answer.body.rollout;
  throw new CliError(
    `endpoint "${text}" has no rollout under way`,
    EXIT.notFound,
    `see \`sluice rollouts list --endpoint ${text}\``,
  );
}
