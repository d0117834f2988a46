/** Requests to the server: time limits, repetition of reads, and what happens when the token is no longer good. */

const TIMEOUT_MS = 10_000;
const PAUSES_MS = [400, 1600]; // before the second and the third attempt of a read
const LONGEST_WAIT_MS = 3000; // a server that asks for more is asked again by the visitor
const PASSING = [429, 502, 503, 504];

/** A request without a usable answer. */
export class ApiError extends Error {
  /**
   * @param {'http' | 'offline' | 'timeout' | 'bad_answer'} kind
   * @param {{status?: number, retryAfterMs?: number | null, message?: string}} [details]
   */
  constructor(kind, { status = 0, retryAfterMs = null, message = kind } = {}) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * @typedef {object} Api
 * @property {(path: string, options?: {signal?: AbortSignal}) => Promise<any>} read
 * @property {(path: string, body?: unknown, options?: {signal?: AbortSignal}) => Promise<any>} send
 * @property {(body: unknown) => Promise<{status: number, retryAfterMs: number | null}>} post For the queue: any status is an answer.
 */

/**
 * @param {object} options
 * @param {typeof globalThis.fetch} options.fetch
 * @param {() => string | null} options.getToken
 * @param {(token: string) => void} options.onExpired
 * @param {(ms: number) => Promise<void>} [options.sleep]
 * @param {number} [options.timeoutMs]
 * @returns {Api}
 */
export function createApi({ fetch, getToken, onExpired, sleep = pause, timeoutMs = TIMEOUT_MS }) {
  /**
   * @param {string} path
   * @param {{method?: string, body?: unknown, token?: string | null, signal?: AbortSignal, keepalive?: boolean}} options
   */
  async function ask(path, { method = 'GET', body, token = null, signal, keepalive }) {
    const limit = AbortSignal.timeout(timeoutMs);
    const headers = new Headers({ Accept: 'application/json' });
    if (token) headers.set('Authorization', `Bearer ${token}`);
    if (body !== undefined) headers.set('Content-Type', 'application/json');
    try {
      const response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
        credentials: 'same-origin',
        keepalive,
      });
      const text = await response.text();
      return { status: response.status, retryAfterMs: retryAfterOf(response.headers.get('Retry-After')), text };
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(limit.aborted ? 'timeout' : 'offline');
    }
  }

  /**
   * @param {string} path
   * @param {{method?: string, body?: unknown, signal?: AbortSignal}} options
   */
  async function answerOf(path, options) {
    const token = getToken();
    let answer = await ask(path, { ...options, token });
    if (token && isExpired(path, answer.status)) {
      onExpired(token);
      answer = await ask(path, { ...options, token: null });
    }
    const content = parsed(answer.text);
    if (answer.status >= 200 && answer.status < 300 && content !== null) return content;
    if (answer.status < 400) throw new ApiError('bad_answer', { status: answer.status });
    throw new ApiError('http', { status: answer.status, retryAfterMs: answer.retryAfterMs, message: messageOf(content) });
  }

  return {
    async read(path, { signal } = {}) {
      for (let attempt = 0; ; attempt += 1) {
        try {
          return await answerOf(path, { signal });
        } catch (error) {
          const wait = Math.max(PAUSES_MS[attempt] ?? 0, error.retryAfterMs ?? 0);
          const isPassing = error.kind === 'offline' || (error.kind === 'http' && PASSING.includes(error.status));
          if (!isPassing || attempt >= PAUSES_MS.length || wait > LONGEST_WAIT_MS) throw error;
          await sleep(wait);
          if (signal?.aborted) throw error;
        }
      }
    },
    send: (path, body = {}, { signal } = {}) => answerOf(path, { method: 'POST', body, signal }),
    async post(body) {
      const { status, retryAfterMs } = await ask('/api/interaction', { method: 'POST', body, token: getToken(), keepalive: true });
      return { status, retryAfterMs };
    },
  };
}

/**
 * Return whether an answer says that the token is no longer good. To an administrators' path, 403 is also the answer to customers.
 *
 * @param {string} path
 * @param {number} status
 */
function isExpired(path, status) {
  return !path.startsWith('/api/auth/') && (status === 401 || (status === 403 && !path.startsWith('/api/admin/')));
}

/**
 * Return what `Retry-After` says, in milliseconds, or `null`.
 *
 * @param {string | null} header Seconds, or a date.
 * @param {number} [now]
 */
export function retryAfterOf(header, now = Date.now()) {
  if (header === null || header.trim() === '') return null;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}

/** @param {string} text */
function parsed(text) {
  try {
    const content = JSON.parse(text);
    return typeof content === 'object' ? content : null;
  } catch {
    return null;
  }
}

/** @param {any} content */
function messageOf(content) {
  return typeof content?.message === 'string' ? content.message : undefined;
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
