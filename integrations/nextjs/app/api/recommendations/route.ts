/** A list for a page: `GET /api/recommendations?context=&productId=&productHandle=&sessionId=&limit=`. */
import type { NextRequest } from 'next/server';
import { listAnswer } from '@/lib/answers';
import { ask } from '@/lib/service';
import { visitorOf } from '@/lib/session';

const DEFAULT_LIMIT = '8';

export async function GET({ cookies, nextUrl }: NextRequest): Promise<Response> {
  const { customer, guest } = visitorOf(cookies);
  const given = (name: string) => nextUrl.searchParams.get(name) || null;
  const query = {
    user_id: customer ?? guest,
    session_id: given('sessionId'),
    product_id: given('productId'),
    product_handle: given('productHandle'),
    context: given('context'),
    limit: given('limit') ?? DEFAULT_LIMIT,
  };
  return listAnswer(await ask('/recommendations', { query }));
}
