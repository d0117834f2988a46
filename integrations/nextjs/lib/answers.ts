/** What the routes answer. A service that is away is no error of a page: it gets a list without products. */
import { NONE, listOf, type Answer } from './service';

const FRESH = { 'cache-control': 'private, no-store' }; // lists are personal

export function listAnswer(answer: Answer): Response {
  if (answer.kind === 'refused' && answer.status === 400) return badRequest(400, answer.message);
  return Response.json(answer.kind === 'answer' ? listOf(answer.document) : NONE, { headers: FRESH });
}

/** Refuse a request that another attempt would not mend: a fault of whoever wrote the page. */
export function badRequest(status: number, message: string): Response {
  return Response.json({ error: { message } }, { status, headers: FRESH });
}
