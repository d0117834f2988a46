import { cookies } from 'next/headers';
import { notFound } from 'next/navigation';
import { Similar } from '@/components/recommendations/similar';
import { TrackingWrapper } from '@/components/tracking/tracking-wrapper';
import { productAt } from '@/lib/catalogue';
import { priceText } from '@/lib/money';
import { tagOf, visitorOf } from '@/lib/session';

export default async function ProductPage({ params }: { params: Promise<{ handle: string }> }) {
  const { handle } = await params;
  const product = await productAt(decodeURIComponent(handle));
  if (product === null) notFound();
  const visitor = visitorOf(await cookies());
  return (
    <TrackingWrapper visitor={tagOf(visitor)} product={{ id: product.id }}>
      <article className="product">
        <span className="picture" aria-hidden="true">{product.name.slice(0, 1)}</span>
        <div>
          <h1>{product.name}</h1>
          {product.price !== null && <p className="price">{priceText(product.price, null)}</p>}
        </div>
      </article>
      <Similar title="Similar products" productId={product.id} />
    </TrackingWrapper>
  );
}
