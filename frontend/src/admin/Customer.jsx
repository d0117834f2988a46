/** One customer: the list, what each model would recommend, and what the customer did. */
import { useState } from 'react';
import { Failed } from '../components/Failed.jsx';
import { Name } from '../components/productParts.jsx';
import { whyText } from '../lib/why.js';
import { useShop } from '../shop.js';
import { useResource } from '../useResource.js';
import { customerOf } from './figures.js';
import { ServerFacts, SmallProduct, Table, useAdminText } from './parts.jsx';

const N_LIST = 10;

/** @param {{query: string}} props */
export function Customer({ query }) {
  const { router } = useShop();
  const { say } = useAdminText();
  const id = new URLSearchParams(query).get('user') ?? '';

  function show(/** @type {import('react').FormEvent<HTMLFormElement>} */ event) {
    event.preventDefault();
    const wanted = String(new FormData(event.currentTarget).get('user')).trim();
    if (wanted) router.go(`/admin?user=${encodeURIComponent(wanted)}`);
  }

  return (
    <section className="admin-section" aria-live="polite">
      <h2>{say('customer')}</h2>
      <form className="customer-form" onSubmit={show}>
        <label htmlFor="customer-id">{say('customer.id')}</label>
        <input key={id} id="customer-id" name="user" defaultValue={id} inputMode="numeric" autoComplete="off" required maxLength={100} />
        <button className="button" type="submit">
          {say('customer.show')}
        </button>
      </form>
      {id && <Known key={id} id={id} />}
    </section>
  );
}

/** @param {{id: string}} props */
function Known({ id }) {
  const { api } = useShop();
  const { say, t, date, metric, number } = useAdminText();
  const path = `/api/admin/users/${encodeURIComponent(id)}`;
  const { data: found, error, retry } = useResource(`${path}?limit=${N_LIST}`, customerOf, { isPersonal: true });
  const [made, setMade] = useState(/** @type {ReturnType<typeof customerOf> | null} */ (null));
  const [failure, setFailure] = useState(/** @type {import('../lib/api.js').ApiError | null} */ (null));
  const [isBusy, setIsBusy] = useState(false);
  const data = made ?? found;

  async function make() {
    setIsBusy(true);
    setFailure(null);
    try {
      setMade(customerOf(await api.send(`${path}/list`)));
    } catch (reason) {
      setFailure(reason);
    } finally {
      setIsBusy(false);
    }
  }

  if (error?.status === 404 || error?.status === 400) return <p className="failed">{say('customer.unknown', { id })}</p>;
  if (error) return <Failed error={error} retry={retry} />;
  if (!data) return <p className="quiet">{t('loading')}</p>;
  const { list, runs, history, context } = data;
  const served = list?.items[0]?.modelName;
  return (
    <div className="customer">
      <h3>
        <bdi>{data.name ?? say('customer.unnamed', { id })}</bdi> {data.name !== null && <span className="quiet">{id}</span>}
      </h3>

      <h4>{say('list')}</h4>
      {list && (
        <p className="quiet">
          {say('list.facts', { source: list.source ?? say('none'), time: date(list.computedAt) })}{' '}
          {list.fallbackReason && say('list.fallback', { reason: list.fallbackReason })}{' '}
          {list.modelVersion && say('list.version', { version: list.modelVersion })}
        </p>
      )}
      {!list?.items.length && <p className="empty">{say('list.none')}</p>}
      {list !== null && list.items.length > 0 && (
        <Table
          label={say('list')}
          head={['#', say('product'), say('why'), say('score'), say('model')]}
          numbers={[0, 3]}
          rows={list.items.map(({ product, why, score, modelName }, index) => ({
            key: product.id,
            cells: [index + 1, <SmallProduct key="product" product={product} />, whyText(why, t) ?? why?.code ?? say('none'), metric(score), modelName],
          }))}
        />
      )}
      <p>
        <button className={list ? 'button plain' : 'button'} type="button" disabled={isBusy} onClick={make}>
          {say(isBusy ? 'list.making' : list ? 'list.again' : 'list.make')}
        </button>
      </p>
      {failure && <Failed error={failure} />}

      <h4>{say('runs')}</h4>
      {runs.length === 0 ? (
        <p className="empty">{say('runs.none')}</p>
      ) : (
        <Table
          label={say('runs')}
          head={[say('model'), say('precision10'), say('map10'), say('product'), say('basis'), say('when')]}
          numbers={[1, 2]}
          rows={runs.map(({ model, precision10, map10, basis, error: fault, products, createdAt }) => ({
            key: `${model} ${createdAt}`,
            cells: [
              model === served ? <strong key="model">{model} ★</strong> : model,
              metric(precision10),
              metric(map10),
              fault ?? <Names key="names" products={products} />,
              basisText(basis, say),
              <span key="time" className="unbroken">{date(createdAt)}</span>,
            ],
          }))}
        />
      )}
      {runs.length > 0 && <p className="quiet small">{say('runs.served')}</p>}

      <h4>{say('history')}</h4>
      {history.length === 0 ? (
        <p className="empty">{say('history.none')}</p>
      ) : (
        <Table
          label={say('history')}
          head={[say('when'), say('action'), say('product')]}
          rows={history.map(({ product, action, at }, index) => ({
            key: `${number(index)} ${at}`,
            cells: [<span key="time" className="unbroken">{date(at)}</span>, actionText(action, say), <SmallProduct key="product" product={product} />],
          }))}
        />
      )}

      {context.length > 0 && (
        <>
          <h4>{say('context')}</h4>
          <ServerFacts facts={context} />
        </>
      )}
    </div>
  );
}

/** @param {{products: import('../lib/product.js').Product[]}} props */
function Names({ products }) {
  return (
    <ol className="names">
      {products.map((product) => (
        <li key={product.id}>
          <Name product={product} />
        </li>
      ))}
    </ol>
  );
}

/** @param {string} action @param {(key: string) => string} say */
function actionText(action, say) {
  return ['view', 'cart', 'uncart', 'purchase'].includes(action) ? say(`action.${action}`) : action;
}

/** @param {string | null} basis Where a run's figures come from. @param {(key: string) => string} say */
function basisText(basis, say) {
  if (basis === null) return say('none');
  return ['fresh', 'heldout', 'offline'].includes(basis) ? say(`basis.${basis}`) : basis;
}
