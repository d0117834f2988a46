import { cookies } from 'next/headers';
import { Personalized } from '@/components/recommendations/personalized';
import { TrackingWrapper } from '@/components/tracking/tracking-wrapper';
import { tagOf, visitorOf } from '@/lib/session';

export default async function Home() {
  const visitor = visitorOf(await cookies());
  return (
    <TrackingWrapper visitor={tagOf(visitor)}>
      <h1>{visitor.customer === null ? 'Welcome' : 'Welcome back'}</h1>
      <Personalized title="For you" />
      <Personalized title="Most viewed" context="most_viewed" />
    </TrackingWrapper>
  );
}
