/** Events in the form of CloudEvents 1.0. */

/** How a subscription's events are sent: whole as JSON, or their data with the rest in headers. */
export type WebhookFormat = 'cloudevents' | 'binary';

export const CLOUD_EVENT = 'application/cloudevents+json';
export const CLOUD_EVENTS = 'application/cloudevents-batch+json';

/** An event as it stands in Postgres. */
export interface StoredEvent {
  readonly seq: number;
  readonly project: string;
  readonly kind: string;
  readonly subject: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: Date;
}

/** The event's attributes. Source and id together are unique, as the specification wants it. */
function attributesOf({ seq, project, kind, subject, at }: StoredEvent) {
  return {
    specversion: '1.0',
    id: String(seq),
    source: `/projects/${encodeURIComponent(project)}`,
    type: `sluice.${kind}`,
    subject,
    time: at.toISOString(),
    datacontenttype: 'application/json',
  };
}

/** Structured mode: the whole event as one JSON object. */
export function cloudEventOf(event: StoredEvent) {
  return { ...attributesOf(event), data: event.data };
}

/** What is posted for an event, signatures aside. */
export function messageOf(
  event: StoredEvent,
  format: WebhookFormat,
): { headers: Record<string, string>; body: string } {
  if (format === 'cloudevents')
    return { headers: { 'content-type': CLOUD_EVENT }, body: JSON.stringify(cloudEventOf(event)) };
  const { datacontenttype, ...attributes } = attributesOf(event);
  const headers: Record<string, string> = { 'content-type': datacontenttype };
  for (const [name, value] of Object.entries(attributes)) headers[`ce-${name}`] = headerText(value);
  return { headers, body: JSON.stringify(event.data) };
}

/** Percent-encoded as the HTTP binding has it: what is not printable ASCII, and space, quote and percent. */
function headerText(value: string): string {
  return value.replace(/[^\x21\x23\x24\x26-\x7e]/gu, (letter) =>
    [...Buffer.from(letter)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
