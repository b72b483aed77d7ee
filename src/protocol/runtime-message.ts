/** What a model server process tells its parent over the IPC channel it may have been started with. */
export type RuntimeMessage =
  /** Its sockets accept; `http` is the port it got. */
  | { readonly kind: 'listening'; readonly http: number | null; readonly socket: string | null }
  /** The model of --model is loaded, or a spare is warm. */
  | { readonly kind: 'ready'; readonly loadMs: number }
  /** It could not start or load its model; the process exits with 1. */
  | { readonly kind: 'failed'; readonly error: string };
