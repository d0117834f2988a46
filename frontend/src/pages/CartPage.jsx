/** The cart, and the purchase. */
import { useState } from 'react';
import { MinusIcon, PlusIcon } from '../components/icons.jsx';
import { Link } from '../components/Link.jsx';
import { Message } from '../components/Message.jsx';
import { Name, Picture, Price } from '../components/productParts.jsx';
import { useTitle } from '../components/useTitle.js';
import { CURRENCY } from '../config.js';
import { MOST, totalOf } from '../lib/cart.js';
import { money } from '../lib/money.js';
import { productPath } from '../lib/router.js';
import { useShop, useStore, useText } from '../shop.js';
import { ForYou, WithCart } from './shelves.jsx';

/** @import { Line } from '../lib/cart.js' */

export function CartPage() {
  const { cart, queue } = useShop();
  const { t } = useText();
  const lines = useStore(cart.lines);
  const [order, setOrder] = useState(/** @type {ReturnType<typeof totalOf> | null} */ (null));
  useTitle(t('cart'));

  function buy() {
    cart.reload(); // another tab may have bought or removed something
    const bought = cart.lines.get();
    if (bought.length === 0) return;
    for (const { product } of bought) queue.add('purchase', product.id);
    cart.clear();
    setOrder(totalOf(bought));
    window.scrollTo(0, 0);
  }

  return (
    <div className="page">
      {lines.length > 0 ? <Content lines={lines} buy={buy} /> : order ? <Thanks order={order} /> : <Empty />}
      {lines.length > 0 ? <WithCart title={t('cart.with')} /> : <ForYou title={t('cart.with')} />}
    </div>
  );
}

/** @param {{lines: Line[], buy: () => void}} props */
function Content({ lines, buy }) {
  const { t, language } = useText();
  const { sum, unpriced } = totalOf(lines);
  return (
    <section className="cart">
      <h1>{t('cart')}</h1>
      <ul className="cart-lines" role="list">
        {lines.map((line) => (
          <CartLine key={line.product.id} line={line} />
        ))}
      </ul>
      <aside className="cart-total">
        <p className="total">
          <span>{t('cart.total')}</span> <strong>{money(sum, language, CURRENCY)}</strong>
        </p>
        {unpriced > 0 && <p className="quiet">{t('cart.unpriced', { n: unpriced })}</p>}
        <button className="button" type="button" onClick={buy}>
          {t('cart.buy')}
        </button>
        <p className="quiet small">{t('cart.demo')}</p>
      </aside>
    </section>
  );
}

/** @param {{line: Line}} props */
function CartLine({ line }) {
  const { cart, queue, say } = useShop();
  const { t } = useText();
  const { product, quantity } = line;
  const name = product.name ?? t('unnamed', { id: product.id });

  function remove() {
    cart.remove(product.id);
    queue.add('uncart', product.id);
    say(t('cart.removed', { name }));
    document.getElementById('content')?.focus({ preventScroll: true }); // the button that had the focus is gone
  }

  return (
    <li className="cart-line">
      <Link to={productPath(product.id)} tabIndex={-1} aria-hidden="true">
        <Picture product={product} />
      </Link>
      <div>
        <h2 className="card-name">
          <Link to={productPath(product.id)}>
            <Name product={product} />
          </Link>
        </h2>
        <Price product={product} />
        <div className="cart-tools">
          <div className="stepper" role="group" aria-label={t('cart.quantity', { name })}>
            <button type="button" aria-label={t('cart.less', { name })} disabled={quantity <= 1} onClick={() => cart.setQuantity(product.id, quantity - 1)}>
              <MinusIcon />
            </button>
            <output>{quantity}</output>
            <button type="button" aria-label={t('cart.more', { name })} disabled={quantity >= MOST} onClick={() => cart.setQuantity(product.id, quantity + 1)}>
              <PlusIcon />
            </button>
          </div>
          <button className="text-button" type="button" aria-label={t('cart.remove.named', { name })} onClick={remove}>
            {t('cart.remove')}
          </button>
        </div>
      </div>
    </li>
  );
}

/** @param {{order: ReturnType<typeof totalOf>}} props */
function Thanks({ order }) {
  const { t, language } = useText();
  return (
    <Message title={t('cart.thanks')} role="status">
      <p>{t('cart.thanks.text', { n: order.pieces, sum: money(order.sum, language, CURRENCY) ?? '' })}</p>
      <p className="quiet small">{t('cart.demo')}</p>
    </Message>
  );
}

function Empty() {
  const { t } = useText();
  return (
    <Message title={t('cart.empty')}>
      <p className="quiet">{t('cart.empty.text')}</p>
    </Message>
  );
}
