/** The recommendation service, asked by this server: snake_case on its side, camelCase on the browser's. */

const DEFAULT_URL = 'http://127.0.0.1:8001';
const TIMEOUT_MS = 1500; // a page does not wait longer for its list
const SAY_AGAIN_MS = 60_000; // a service that is away is one line a minute, not one for each page
const REFUSED = [400, 404, 413, 415]; // the fault of the request itself: another attempt would not mend it

export interface Reason {
  code: string;
  itemId?: string | number;
  category?: string;
}

export interface Recommendation {
  id: string | number;
  handle: string | null;
  title: string | null;
  thumbnail: string | null;
  price: number | null;
  currency: string | null;
  score: number;
  reason: Reason | null;
}

export interface Recommendations {
  recommendations: Recommendation[];
  algorithm: string;
  cached: boolean;
  recommendationId: string | null;
}

/** What a page gets while the service is away. */
export const NONE: Recommendations = { recommendations: [], algorithm: 'none', cached: false, recommendationId: null };

export type Answer = { kind: 'answer'; document: Record<string, any> } | { kind: 'refused'; status: number; message: string } | { kind: 'away' };

let saidAt = -Infinity;

/**
 * Ask the service.
 *
 * @param path The route.
 * @param sent Parameters of the query, without those that are null; or the body of a POST.
 */
export async function ask(path: string, { query = {}, body }: { query?: Record<string, string | null>; body?: object }): Promise<Answer> {
  try {
    const response = await fetch(addressOf(path, query), {
      method: body ? 'POST' : 'GET',
      headers: { ...(body && { 'content-type': 'application/json' }), ...keyHeader() },
      body: body && JSON.stringify(body),
      cache: 'no-store',
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const document = await response.json();
    if (response.ok && isObject(document)) return { kind: 'answer', document };
    if (REFUSED.includes(response.status)) return { kind: 'refused', status: response.status, message: messageOf(document) };
    say(`status ${response.status}: ${messageOf(document)}`);
  } catch (error) {
    say(error instanceof Error ? `${error.name}: ${error.message}` : 'no answer'); // no network, no time, no JSON
  }
  return { kind: 'away' };
}

/** Return the list of an answer as the browser gets it. */
export function listOf(document: Record<string, any>): Recommendations {
  const rows: unknown[] = Array.isArray(document.recommendations) ? document.recommendations : [];
  return {
    recommendations: rows.filter(isObject).map(recommendationOf),
    algorithm: String(document.algorithm ?? NONE.algorithm),
    cached: document.cached === true,
    recommendationId: document.recommendation_id ?? null,
  };
}

function recommendationOf({ id, handle, title, thumbnail, price, currency, score, reason }: Record<string, any>): Recommendation {
  const shown = { id, handle: handle ?? null, title: title ?? null, thumbnail: thumbnail ?? null };
  return { ...shown, price: price ?? null, currency: currency ?? null, score, reason: isObject(reason) ? reasonOf(reason) : null };
}

function reasonOf({ code, item_id: itemId, category }: Record<string, any>): Reason {
  return { code, ...(itemId != null && { itemId }), ...(category != null && { category }) };
}

function addressOf(path: string, query: Record<string, string | null>): URL {
  const url = new URL(path, process.env.RECOMMENDATION_SERVICE_URL || DEFAULT_URL);
  for (const [name, value] of Object.entries(query)) if (value !== null) url.searchParams.set(name, value);
  return url;
}

function keyHeader(): Record<string, string> {
  return process.env.SERVICE_KEY ? { authorization: `Bearer ${process.env.SERVICE_KEY}` } : {};
}

/** Return what the service says is wrong, with the browser's names. */
function messageOf(document: any): string {
  const message = typeof document?.error?.message === 'string' ? document.error.message : 'The request was refused.';
  return message.replace(/`[a-z_]+`/g, (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));
}

function say(what: string): void {
  if (Date.now() - saidAt < SAY_AGAIN_MS) return;
  saidAt = Date.now();
  console.warn(`The recommendation service should answer. Received: ${what}`);
}

function isObject(value: unknown): value is Record<string, any> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
