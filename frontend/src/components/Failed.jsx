/** What is shown instead of something that could not be loaded: why, and what to do. */
import { useText } from '../shop.js';

/**
 * @import { ApiError } from '../lib/api.js'
 * @import { Translate } from '../i18n/index.js'
 */

/** @param {{error: ApiError, retry?: () => void, hasRoom?: boolean}} props `hasRoom` keeps the height of a row of products. */
export function Failed({ error, retry, hasRoom = false }) {
  const { t } = useText();
  return (
    <div className={hasRoom ? 'failed room' : 'failed'} role="alert">
      <p>
        <strong>{t('error.title')}</strong>
      </p>
      <p>{failureText(error, t)}</p>
      {retry && (
        <button className="button plain" type="button" onClick={retry}>
          {t('retry')}
        </button>
      )}
    </div>
  );
}

/**
 * Return what went wrong and what to do, in words.
 *
 * @param {ApiError} error
 * @param {Translate} t
 */
export function failureText(error, t) {
  if (error.kind === 'offline' || error.kind === 'timeout') return t(`error.${error.kind}`);
  if (error.status === 429) return t('error.busy', { wait: waitText(error.retryAfterMs, t) });
  return t(error.status === 503 ? 'error.unavailable' : 'error.other');
}

/**
 * Return a time of waiting in words; a minute where none is known.
 *
 * @param {number | null} ms
 * @param {Translate} t
 */
export function waitText(ms, t) {
  const seconds = Math.max(1, Math.ceil((ms ?? 60_000) / 1000));
  return seconds < 60 ? t('wait.seconds', { n: seconds }) : t('wait.minutes', { n: Math.ceil(seconds / 60) });
}
