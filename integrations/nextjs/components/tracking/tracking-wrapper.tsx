'use client';
/**
 * Around what a page shows: it sends the events of the page, and counts a view of the page's product once in five seconds.
 *
 *     <TrackingWrapper visitor={tagOf(visitorOf(await cookies()))} product={{ id, handle }}>…</TrackingWrapper>
 */
import { useEffect, type ReactNode } from 'react';
import { startQueue, trackOnce } from '@/lib/queue';

interface Props {
  /** Says whose events these are, as `tagOf` gives it. */
  visitor: string;
  /** The product of the page, if it has one: by its id, or by the name in its address. */
  product?: { id?: string | number | null; handle?: string | null; metadata?: Record<string, unknown> };
  children: ReactNode;
}

export function TrackingWrapper({ visitor, product, children }: Props) {
  useEffect(() => startQueue(visitor), [visitor]);
  const { id, handle, metadata } = product ?? {};
  useEffect(() => {
    if (id != null) trackOnce({ interactionType: 'view', productId: id, metadata });
    else if (handle) trackOnce({ interactionType: 'view', productHandle: handle, metadata });
  }, [id, handle]); // new metadata of the same product is no new view
  return children;
}
