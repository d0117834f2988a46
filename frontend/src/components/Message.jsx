import { Link } from './Link.jsx';
import { useText } from '../shop.js';

/**
 * Says something in place of what is not there, with a link to the products.
 *
 * @param {{title: string, children: React.ReactNode, role?: 'status'}} props
 */
export function Message({ title, children, role }) {
  const { t } = useText();
  return (
    <section className="message" role={role}>
      <h1>{title}</h1>
      {children}
      <p className="actions">
        <Link className="button" to="/">
          {t('cart.browse')}
        </Link>
      </p>
    </section>
  );
}
