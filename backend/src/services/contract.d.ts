/** The lines of docs/PROTOCOL.md as types. Written by `npm run types` from docs/schema/; changes belong there. */

/**
 * Whatever is written or read.
 */
export type Message = Request | Recommendation | Ready | Pong | Stats | Failure;
/**
 * A whole number, or a text of 1 to 512 bytes of UTF-8 without control characters.
 */
export type Id = number | string;

/**
 * One question to recommend_api.py; null is the same as leaving a field out. The process also refuses what a schema cannot say: names given twice, 1.0 for 1, texts above 512 bytes of UTF-8, lone surrogates, price_max below price_min, and what exceeds the limits of `ready`. It takes model names in any case.
 */
export interface Request {
  /**
   * What is asked for.
   */
  op?: 'recommend' | 'similar' | 'ping' | 'stats' | 'reload' | null;
  /**
   * The customer, as the client wrote it; null for a guest.
   */
  user_id?: Id | null;
  /**
   * The number of items wanted, 1 to 100.
   */
  limit?: number | null;
  /**
   * auto, or a name of the registry in its own spelling.
   */
  model?:
    | 'auto'
    | 'ENCM'
    | 'LNCM'
    | 'NeuMF'
    | 'BMF'
    | 'blend'
    | 'ease'
    | 'item_cf'
    | 'user_frequency_decayed'
    | 'user_frequency'
    | 'popularity_recent'
    | 'popularity'
    | null;
  /**
   * Context features and their values; null is an unknown value.
   */
  context?: {
    [k: string]: Id | null;
  } | null;
  /**
   * Events of this customer that the database may not know yet.
   *
   * @maxItems 10000
   */
  interactions?: RecentEvent[] | null;
  /**
   * Items chosen after the version's data_until.
   *
   * @maxItems 10000
   */
  ground_truth?: Id[] | null;
  /**
   * The only items that may be answered; null admits all.
   *
   * @maxItems 10000
   */
  candidates?: Id[] | null;
  /**
   * Items that may not be answered.
   *
   * @maxItems 10000
   */
  exclude?: Id[] | null;
  /**
   * What an item must be to be answered.
   */
  filters?: Filters | null;
  /**
   * The item that similar starts from.
   */
  item_id?: Id | null;
  /**
   * The client's own mark, echoed in the answer.
   */
  id?: Id | null;
  /**
   * Milliseconds in which an answer is of use; null waits.
   */
  budget_ms?: number | null;
}
export interface RecentEvent {
  /**
   * The item, as the client wrote it.
   */
  item_id: Id;
  /**
   * The event's name, such as view.
   */
  event: string;
  /**
   * Seconds since 1970 in UTC; null means now.
   */
  timestamp?: number | null;
}
export interface Filters {
  /**
   * The item's category, as text.
   */
  category?: Id | null;
  /**
   * The item's brand, as text.
   */
  brand?: Id | null;
  /**
   * The least price, from 0.
   */
  price_min?: number | null;
  /**
   * The highest price, from 0 and from price_min.
   */
  price_max?: number | null;
  /**
   * True leaves out items that cannot be sold now.
   */
  in_stock?: boolean | null;
}
export interface Recommendation {
  ok: true;
  /**
   * The customer in the shop's type; null for a guest.
   */
  user_id: Id | null;
  /**
   * The registry name of the winner.
   */
  model: string;
  /**
   * The version that answered.
   */
  model_version: string;
  /**
   * The recommended products, best first.
   */
  items: Item[];
  /**
   * The four models, plus the winner where a baseline wins.
   */
  runs: Run[];
  /**
   * What kind of scorer the items come from.
   */
  source: 'model' | 'fold_in' | 'item_cf' | 'popularity';
  /**
   * The context features that were used, and their values; null where unknown.
   */
  context: {
    [k: string]: string | null;
  };
  /**
   * What was ignored and why, for people.
   */
  warnings: string[];
  /**
   * Milliseconds from the request's arrival to this answer.
   */
  ms: number;
  /**
   * The request's own mark.
   */
  id?: Id;
}
export interface Item {
  /**
   * The product's id, in the shop's type.
   */
  productId: Id;
  /**
   * From 0 to 1; higher is better. Comparable only within one answer.
   */
  score: number;
  /**
   * Why, where it is known to be true.
   */
  reason?: Reason;
}
export interface Reason {
  /**
   * The kind of reason.
   */
  code: string;
  /**
   * An item of the customer's history; without it the answered item's score would be lower.
   */
  item_id?: Id;
}
export interface Run {
  /**
   * The registry name.
   */
  model: string;
  /**
   * Its best items of those that may be answered, best first.
   */
  items: Id[];
  /**
   * Its quality; null where the run failed or nothing is known.
   */
  metrics: Metrics | null;
  /**
   * Where the metrics come from: events since training, the customer's held-out events, or the version's report.
   */
  basis: 'fresh' | 'heldout' | 'offline' | null;
  /**
   * What went wrong, where the run failed.
   */
  error?: string;
}
export interface Metrics {
  /**
   * Precision@10, 0 to 1.
   */
  precision10: number;
  /**
   * MAP@10, 0 to 1.
   */
  map10: number;
}
export interface Ready {
  /**
   * Always true.
   */
  ready: true;
  /**
   * The number of this contract.
   */
  protocol: 1;
  /**
   * The version that serves.
   */
  version: string;
  /**
   * The largest request that is read.
   */
  limits: Limits;
  /**
   * The process.
   */
  pid: number;
}
export interface Limits {
  /**
   * Of a request, its line end included.
   */
  bytes: number;
  /**
   * Levels of nesting.
   */
  depth: number;
  /**
   * Members of a list or an object.
   */
  list: number;
  /**
   * Items that can be asked for.
   */
  limit: number;
}
export interface Pong {
  /**
   * Always true.
   */
  ok: true;
  /**
   * The number of this contract.
   */
  protocol: 1;
  /**
   * The version that serves.
   */
  version: string;
  /**
   * The process.
   */
  pid: number;
  /**
   * The request's own mark.
   */
  id?: Id;
}
export interface Stats {
  /**
   * Always true.
   */
  ok: true;
  /**
   * The number of this contract.
   */
  protocol: 1;
  /**
   * The version that serves.
   */
  version: string;
  /**
   * The process.
   */
  pid: number;
  /**
   * Seconds since it was ready.
   */
  uptime_s: number;
  /**
   * Lines it has answered, failures included.
   */
  answered: number;
  /**
   * How many of them failed, by code.
   */
  failures: {
    [k: string]: number;
  };
  /**
   * How often another version has taken over.
   */
  swaps: number;
  /**
   * The version that was activated last and is not served; null where there is none.
   */
  refused: Refusal | null;
  /**
   * How often the database was connected to.
   */
  connections: number;
  /**
   * Resident memory, mapped files included; null where the system does not tell.
   */
  rss_bytes: number | null;
  /**
   * The request's own mark.
   */
  id?: Id;
}
export interface Refusal {
  /**
   * Its name; null where CURRENT itself cannot be read.
   */
  version: string | null;
  /**
   * What is wrong, as in a failure.
   */
  code: string;
  /**
   * The same for people.
   */
  message: string;
}
export interface Failure {
  ok: false;
  error: {
    code:
      | 'database_unavailable'
      | 'deadline'
      | 'internal'
      | 'invalid_json'
      | 'invalid_request'
      | 'model_mismatch'
      | 'model_refused'
      | 'no_model'
      | 'overloaded'
      | 'settings'
      | 'too_large'
      | 'unknown_user'
      | 'usage';
    /**
     * For people.
     */
    message: string;
    /**
     * The path of the field at fault, such as interactions[3].event.
     */
    field?: string;
    /**
     * Whether the same request may succeed later.
     */
    retryable: boolean;
  };
  /**
   * The request's own mark.
   */
  id?: Id;
}
