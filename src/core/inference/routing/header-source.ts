/** Where to look a request's headers up, by their lower-case names; gRPC's metadata is the same thing. */
export interface HeaderSource {
  header(name: string): string | undefined;
}
