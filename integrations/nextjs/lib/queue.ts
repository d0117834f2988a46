/**
 * The visitor's events on their way to the server, in the browser.
 *
 * An event lies in the browser's storage from the act until the server has stored or refused it, under a key of its own, so that two tabs do
 * not overwrite each other's. It may be sent more than once; the service stores it once, by its id.
 */

const ADDRESS = '/api/recommendations/track';
const PREFIX = 'recsys.event.';
const SESSION = 'recsys.session';
const ONCE = 'recsys.once.';
const ONCE_MS = 5000; // what is seen again within this time was seen once
const MOST_EVENTS = 100; // that are kept; the oldest are dropped
const KEEP_MS = 7 * 86_400_000;
const PAUSE_MS = 2000; // before the second attempt; doubled for each further one
const LONGEST_PAUSE_MS = 5 * 60_000;
const ANSWER_MS = 10_000;
const BEACON_REST_MS = 30_000; // until an event that left by a beacon may leave by another

export interface Seen {
  interactionType: 'view' | 'add_to_cart' | 'purchase' | 'wishlist' | 'remove_from_wishlist' | 'search' | 'impression' | 'click';
  productId?: string | number;
  productHandle?: string;
  recommendationId?: string | null;
  position?: number;
  metadata?: Record<string, unknown>;
}

interface QueuedEvent extends Seen {
  eventId: string;
  sessionId: string;
  visitor: string; // the tag of whoever was here
  at: number; // milliseconds since 1970
}

type Outcome = 'done' | 'later';

const memory = { local: new Map<string, string>(), session: new Map<string, string>() }; // where the browser keeps nothing
const left = new Map<string, number>(); // by event id: when it left by a beacon
let visitor = 'guest';
let failures = 0;
let notBefore = 0;
let isSending = false;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Begin to send what waits, and hand it to the browser when the page is left; returns how to end that. */
export function startQueue(tag: string): () => void {
  visitor = tag;
  const onVisibility = () => (document.visibilityState === 'hidden' ? leave() : void flush());
  const onOnline = () => {
    notBefore = 0;
    void flush();
  };
  document.addEventListener('visibilitychange', onVisibility);
  addEventListener('pagehide', leave);
  addEventListener('online', onOnline);
  schedule();
  return () => {
    document.removeEventListener('visibilitychange', onVisibility);
    removeEventListener('pagehide', leave);
    removeEventListener('online', onOnline);
  };
}

/** Record what the visitor did: it returns at once, and sends later. */
export function track(seen: Seen): void {
  const event: QueuedEvent = { ...seen, eventId: randomId(), sessionId: sessionId(), visitor, at: Date.now() };
  write('local', PREFIX + event.eventId, JSON.stringify(event));
  schedule();
}

/** Record what counts once in five seconds for each product, however often the page is drawn or loaded meanwhile. */
export function trackOnce(seen: Seen): void {
  const key = [ONCE, seen.interactionType, seen.productId ?? seen.productHandle, seen.recommendationId ?? ''].join('.');
  const age = Date.now() - Number(read('session', key) ?? 0);
  if (age >= 0 && age < ONCE_MS) return;
  write('session', key, String(Date.now()));
  track(seen);
}

async function flush(): Promise<void> {
  if (isSending) return;
  if (Date.now() < notBefore) return schedule();
  isSending = true;
  try {
    for (let event = waiting()[0]; event; event = waiting()[0]) {
      if ((await outcomeOf(event)) === 'later') return backOff();
      remove(PREFIX + event.eventId);
      left.delete(event.eventId);
      failures = 0;
    }
  } finally {
    isSending = false;
  }
}

/** Send one event. It is done when it is stored, or refused for good. */
async function outcomeOf(event: QueuedEvent): Promise<Outcome> {
  try {
    const response = await fetch(ADDRESS, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(bodyOf(event)),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const answer = await response.json();
    return answer.success === true || answer.logged_locally === false ? 'done' : 'later';
  } catch {
    return 'later'; // no network, no time, or an answer of something in between
  }
}

function backOff(): void {
  failures += 1;
  const pause = Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (failures - 1)) * (1 + Math.random() / 4);
  notBefore = Date.now() + pause;
  schedule();
}

function schedule(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void flush(), Math.max(0, notBefore - Date.now()));
}

/** Hand what waits to the browser. No answer comes back, so it stays here, and the next visit sends what was not stored. */
function leave(): void {
  if (Date.now() < notBefore) return; // the service is away, and the events are safe
  for (const event of waiting()) {
    if (Date.now() - (left.get(event.eventId) ?? -Infinity) < BEACON_REST_MS) continue;
    if (!navigator.sendBeacon(ADDRESS, new Blob([JSON.stringify(bodyOf(event))], { type: 'application/json' }))) return;
    left.set(event.eventId, Date.now());
  }
}

/** Return what may be sent now, oldest first; events of somebody else wait until they are here again. */
function waiting(): QueuedEvent[] {
  const all = keys().map(eventAt).filter((event) => event !== null);
  all.sort((one, other) => one.at - other.at);
  for (const { eventId } of all.splice(0, all.length - MOST_EVENTS)) remove(PREFIX + eventId);
  return all.filter((event) => event.visitor === visitor || event.visitor === 'guest');
}

function eventAt(key: string): QueuedEvent | null {
  try {
    const event = JSON.parse(read('local', key) ?? 'null');
    if (PREFIX + event.eventId === key && Date.now() - event.at < KEEP_MS) return event;
  } catch {
    // something else lies under the key
  }
  remove(key);
  return null;
}

function bodyOf({ at, metadata, ...event }: QueuedEvent): object {
  return { ...event, metadata: { ...metadata, occurredAt: new Date(at).toISOString() } };
}

function sessionId(): string {
  const id = read('session', SESSION) ?? `session_${randomId()}`;
  write('session', SESSION, id);
  return id;
}

/** `crypto.randomUUID` is missing on pages without https. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function storage(which: 'local' | 'session'): Storage | null {
  try {
    return which === 'local' ? localStorage : sessionStorage;
  } catch {
    return null; // the visitor does not allow it
  }
}

function read(which: 'local' | 'session', key: string): string | null {
  return memory[which].get(key) ?? storage(which)?.getItem(key) ?? null;
}

function write(which: 'local' | 'session', key: string, value: string): void {
  try {
    const place = storage(which);
    if (place) return place.setItem(key, value);
  } catch {
    // it is full
  }
  memory[which].set(key, value);
}

function remove(key: string): void {
  memory.local.delete(key);
  storage('local')?.removeItem(key);
}

function keys(): string[] {
  return [...memory.local.keys(), ...Object.keys(storage('local') ?? {})].filter((key) => key.startsWith(PREFIX));
}
