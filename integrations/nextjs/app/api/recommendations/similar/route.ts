/** Products similar to one: `GET /api/recommendations/similar?productId=&limit=`. It is the same for everybody. */
import type { NextRequest } from 'next/server';
import { badRequest, listAnswer } from '@/lib/answers';
import { ask } from '@/lib/service';

const DEFAULT_LIMIT = '8';

export async function GET({ nextUrl }: NextRequest): Promise<Response> {
  const productId = nextUrl.searchParams.get('productId');
  if (!productId) return badRequest(400, '`productId` should be given. Received: nothing.');
  const query = { product_id: productId, limit: nextUrl.searchParams.get('limit') || DEFAULT_LIMIT };
  return listAnswer(await ask('/api/v1/recommendations/similar', { query }));
}
