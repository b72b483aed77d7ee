/** A model card for people, as Markdown. */
import type { TensorSpec } from '../../protocol/signature.js';
import type { CardPromotion, ModelCard } from './card.js';

export function printCard(card: ModelCard): string {
  const { job, lineage } = card;
  const parts = [
    `# ${card.model}, version ${card.version}`,
    card.description,
    list([
      ['registered', `${card.registeredAt} by ${lineage.actor}`],
      ['framework', card.framework],
      ['artifact', `\`${card.artifact.digest}\` (${card.artifact.files.length} files, ${card.artifact.bytes} bytes)`],
      ['aliases', card.aliases.join(', ')],
    ]),
    '## Training',
    job
      ? list([
          ['job', `${job.name} (\`${job.id}\`, attempt ${lineage.attempt ?? job.attempt})`],
          ['code', `\`${job.code}\`, ${job.entrypoint}`],
          ['parameters', code(job.params)],
          ['requirements', job.requirements.join(', ')],
          ['image', job.image ?? ''],
          ['resources', code(job.resources)],
          ['environment variables', job.environment.join(', ')],
          ['time', job.startedAt && job.endedAt ? `${job.startedAt} to ${job.endedAt}` : ''],
        ])
      : `Uploaded by ${lineage.actor}; how it was trained is not known.`,
    '## Data',
    card.datasets.length > 0
      ? table(
          ['digest', 'dataset', 'use'],
          card.datasets.map(({ digest, name, use }) => [`\`${digest}\``, name ?? 'not known by a name', use]),
        )
      : 'No dataset is known.',
    '## Metrics',
    Object.keys(card.metrics).length > 0
      ? table(
          ['metric', 'value'],
          Object.entries(card.metrics).map(([name, value]) => [name, String(value)]),
        )
      : 'None were reported.',
    '## Signature',
    list([
      ['inputs', card.signature.inputs.map(tensor).join(', ')],
      ['outputs', card.signature.outputs.map(tensor).join(', ')],
    ]),
    '## Promotions',
    ...(card.promotions.length > 0 ? card.promotions.flatMap(promotion) : ['None.']),
    '## Served',
    card.served.length > 0
      ? table(
          ['endpoint', 'revision', 'from', 'until', 'at most'],
          card.served.map((one) => [
            one.endpoint,
            String(one.revision),
            one.from,
            one.until ?? 'now',
            `${one.percent} %`,
          ]),
        )
      : 'It never had traffic.',
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function promotion(one: CardPromotion): string[] {
  const opened = one.requestedBy ? `asked for by ${one.requestedBy}` : `opened by ${one.trigger.on.replace('_', ' ')}`;
  const against = one.champion === null ? '' : `, judged against version ${one.champion}`;
  return [
    `### ${one.endpoint}: ${one.state.replace('_', ' ')}`,
    `\`${one.id}\`, ${opened}, ${one.createdAt}${against}. ${cell(one.reason)}`,
    one.gates.length > 0
      ? table(
          ['gate', 'passed', 'why'],
          one.gates.flatMap(({ gate, passed, reason, evidence }) => [
            [gate, yes(passed), reason],
            ...slicesOf(evidence).map((slice) => [`${gate}, slice ${slice.name}`, yes(slice.passed), slice.reason]),
          ]),
        )
      : '',
    one.approvals.length > 0
      ? table(
          ['who', 'said', 'when', 'comment'],
          one.approvals.map(({ actor, vote, at, comment }) => [actor, vote, at, comment]),
        )
      : '',
    one.rollout
      ? table(
          [`rollout ${one.rollout.id}`, 'when', 'what'],
          one.rollout.events.map(({ kind, at, message }) => [kind, at, message]),
        )
      : '',
  ];
}

interface SliceEvidence {
  readonly name: string;
  readonly passed: boolean;
  readonly reason: string;
}

function slicesOf(evidence: Readonly<Record<string, unknown>>): readonly SliceEvidence[] {
  return Array.isArray(evidence.slices) ? (evidence.slices as SliceEvidence[]) : [];
}

const yes = (passed: boolean) => (passed ? 'yes' : '**no**');

const tensor = ({ name, datatype, shape }: TensorSpec) => `\`${name}\` ${datatype}[${shape.join(', ')}]`;

const code = (value: object) => (Object.keys(value).length > 0 ? `\`${JSON.stringify(value)}\`` : '');

function list(entries: readonly (readonly [string, string])[]): string {
  return entries
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `- **${name}**: ${value}`)
    .join('\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/** Words of models, people and servers stay words: no line, no cell and no HTML of their own. */
function cell(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
