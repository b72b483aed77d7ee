/**
 * Posts to an address that somebody else named and answers what it says, as far as it may be long. The address is held to
 * the rules of webhooks: `forbidden` where it must not be reached.
 */
export type AskWebhook = (request: {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal: AbortSignal;
}) => Promise<{ readonly status: number; readonly body: string }>;

/** Longest answer that is read, in bytes. */
export const LONGEST_ANSWER = 64 * 1024;
