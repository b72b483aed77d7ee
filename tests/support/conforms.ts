import type { z } from '@hono/zod-openapi';
import { expect } from 'vitest';
import type { createApp } from '../../src/gateway/app.js';

type App = ReturnType<typeof createApp>;

/** One operation of the app as its OpenAPI document tells it. */
export interface Operation {
  readonly method: string;
  /** With `{parameters}`. */
  readonly path: string;
  readonly operationId: string;
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: unknown }>> }>
  >;
  readonly security: unknown;
  readonly definition: { readonly summary?: string; readonly tags?: readonly string[] };
}

/** Every operation that the app documents. */
export function operations(app: App): Operation[] {
  return app.openAPIRegistry.definitions.flatMap((definition) => {
    if (definition.type !== 'route') return [];
    const { method, path, operationId, responses, security } = definition.route;
    return [
      {
        method: method.toUpperCase(),
        path,
        operationId: operationId ?? '',
        responses: responses as Operation['responses'],
        security,
        definition: definition.route,
      },
    ];
  });
}

/**
 * Fails unless the answer is one that the document promises: its status is listed, its body fits the schema, and it
 * says nothing that the schema does not.
 */
export async function conforms(app: App, method: string, url: string, response: Response): Promise<unknown> {
  const path = new URL(url, 'http://test').pathname;
  const operation = operations(app).find((one) => one.method === method && matches(one.path, path));
  expect(operation, `${method} ${path} is documented`).toBeDefined();
  const promised = operation?.responses[String(response.status)];
  expect(promised, `${operation?.operationId} documents status ${response.status}`).toBeDefined();
  const type = (response.headers.get('content-type') ?? '').split(';')[0] ?? '';
  if (!promised?.content) {
    expect(await response.text()).toBe('');
    return undefined;
  }
  expect(Object.keys(promised.content)).toContain(type);
  if (type !== 'application/json') return response.text();
  const body: unknown = await response.json();
  const schema = promised.content[type]?.schema as z.ZodType;
  expect(schema.parse(body), `${operation?.operationId}: the answer and its schema`).toEqual(body);
  return body;
}

function matches(template: string, path: string): boolean {
  const pattern = template.replace(/\{path\}$/, '.+').replace(/\{\w+\}/g, '[^/]+');
  return new RegExp(`^${pattern}$`).test(path);
}
