export interface Outcome {
  readonly action: 'created' | 'updated' | 'unchanged';
  /** What a person wants to know beside it: a version, an id. */
  readonly detail: string;
  /** The API's answer. */
  readonly result: unknown;
}
