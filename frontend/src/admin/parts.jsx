/** What the sections of the administrators' page share. */
import { useMemo } from 'react';
import { Name, Picture } from '../components/productParts.jsx';
import { translatorOf } from '../i18n/index.js';
import { Link } from '../components/Link.jsx';
import { productPath } from '../lib/router.js';
import { useText } from '../shop.js';
import { TEXTS } from './texts.js';

/** @import { Fact } from './figures.js' */

/** Return how to say and write things here: `t` of the shop, `say` of this page, dates and numbers. */
export function useAdminText() {
  const { t, language } = useText();
  return useMemo(() => {
    const say = translatorOf(TEXTS[language]);
    const dates = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' });
    return {
      t,
      say,
      language,
      /** @param {any} value */
      date(value) {
        const moment = new Date(value ?? Number.NaN);
        return Number.isNaN(moment.getTime()) ? say('none') : dates.format(moment);
      },
      /** @param {number} value @param {number} [digits] After the point. */
      number: (value, digits = 0) => new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value),
      /** A metric between 0 and 1. @param {number | null} value */
      metric: (value) =>
        value === null
          ? say('none')
          : new Intl.NumberFormat(language, { minimumFractionDigits: 4, maximumFractionDigits: 4 }).format(value),
    };
  }, [t, language]);
}

/** @param {{rows: [string, string][]}} props */
export function Facts({ rows }) {
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** What the server told of a part of it; facts without a text of their own have the server's name. @param {{facts: Fact[]}} props */
export function ServerFacts({ facts }) {
  const { say } = useAdminText();
  return (
    <dl className="facts small">
      {facts.map(({ key, value, isAlarming }) => (
        <div key={key}>
          <dt>{TEXTS.en[/** @type {keyof typeof TEXTS.en} */ (`fact.${key}`)] ? say(`fact.${key}`) : key.replaceAll('_', ' ')}</dt>
          <dd className={isAlarming ? 'alarm' : undefined}>
            {isAlarming && <span aria-hidden="true">⚠ </span>}
            {value ?? say('none')}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/**
 * A table that scrolls in itself where it is wider than the page.
 *
 * @param {{label: string, head: import('react').ReactNode[], numbers?: number[], rows: {key: string | number, cells: import('react').ReactNode[]}[]}} props
 *     `numbers` are the columns of figures.
 */
export function Table({ label, head, numbers = [], rows }) {
  const className = (/** @type {number} */ column) => (numbers.includes(column) ? 'number' : undefined);
  return (
    <div className="wide" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {head.map((cell, column) => (
              <th key={column} scope="col" className={className(column)}>
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, cells }) => (
            <tr key={key}>
              {cells.map((cell, column) => (
                <td key={column} className={className(column)}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** @param {{product: import('../lib/product.js').Product}} props */
export function SmallProduct({ product }) {
  return (
    <span className="small-product">
      <Picture product={product} />
      <span>
        <Link to={productPath(product.id)}>
          <Name product={product} />
        </Link>{' '}
        <span className="quiet">{product.id}</span>
      </span>
    </span>
  );
}
