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
 * One request to recommend_api.py; a field that is null counts as absent. The process also refuses input that a schema cannot describe: names given twice, 1.0 for 1, texts above 512 bytes of UTF-8, lone surrogates, price_max below price_min, and input above the limits of `ready`. Model names may be in upper or lower case.
 */
export interface Request {
  /**
   * The operation.
   */
  op?: 'recommend' | 'similar' | 'together' | 'trending' | 'again' | 'ping' | 'stats' | 'reload' | null;
  /**
   * The user's id, as the client wrote it; null for a guest.
   */
  user_id?: Id | null;
  /**
   * The most items of the answer, 1 to 100.
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
    | 'hybrid'
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
   * Events of this user that the database may not hold yet.
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
   * The only items that may be recommended; null allows all.
   *
   * @maxItems 10000
   */
  candidates?: Id[] | null;
  /**
   * Items that may not be recommended.
   *
   * @maxItems 10000
   */
  exclude?: Id[] | null;
  /**
   * Conditions on the items of the answer.
   */
  filters?: Filters | null;
  /**
   * The item that similar starts from.
   */
  item_id?: Id | null;
  /**
   * The items that together starts from.
   *
   * @minItems 1
   * @maxItems 50
   */
  item_ids?: [Id, ...Id[]] | null;
  /**
   * Whether together leaves out items of the categories that the basket has.
   */
  complementary?: boolean | null;
  /**
   * allow shows what the user has bought, hide never does; null leaves it to the shop's rule.
   */
  repeat?: 'allow' | 'hide' | null;
  /**
   * An id that the client chooses, repeated in the answer.
   */
  id?: Id | null;
  /**
   * Milliseconds after which an answer is of no use; null waits.
   */
  budget_ms?: number | null;
  /**
   * Whether a user of whom nothing is known is the failure unknown_user, instead of a list of what is popular now.
   */
  strict?: boolean | null;
}
export interface RecentEvent {
  /**
   * The item's id, as the client wrote it.
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
   * The lowest price, 0 or more.
   */
  price_min?: number | null;
  /**
   * The highest price, 0 or more and at least price_min.
   */
  price_max?: number | null;
  /**
   * True leaves out items that the shop does not sell now.
   */
  in_stock?: boolean | null;
}
export interface Recommendation {
  ok: true;
  /**
   * The user's id in the shop's type; null for a guest.
   */
  user_id: Id | null;
  /**
   * The registry name of the winner; together, trending or again where these begin the list.
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
   * The four models, plus the winner where a baseline wins; none of together, trending and again.
   */
  runs: Run[];
  /**
   * The kind of scorer that the items come from.
   */
  source: 'model' | 'fold_in' | 'item_cf' | 'popularity' | 'together' | 'trending' | 'again';
  /**
   * The context features that were used, and their values; null for unknown.
   */
  context: {
    [k: string]: string | null;
  };
  /**
   * What was ignored or left out, and why; for people.
   */
  warnings: string[];
  /**
   * Milliseconds from the request's arrival to this answer.
   */
  ms: number;
  /**
   * The request's id.
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
   * The explanation, where one was found.
   */
  reason?: Reason;
}
export interface Reason {
  /**
   * What the user did with item_id: viewed, cart or bought; similar to item_id, an item of the request, or bought together with it; popular now; or new, which no model knows yet. Version 0.1.0 wrote history for the first three. Clients show no reason for a code that they do not know.
   */
  code: string;
  /**
   * Another item; without it the recommended item's score would be lower.
   */
  item_id?: Id;
  /**
   * The category that the popular item was chosen from; absent for all categories.
   */
  category?: string;
}
export interface Run {
  /**
   * The registry name.
   */
  model: string;
  /**
   * The model's best available items, best first.
   */
  items: Id[];
  /**
   * How well the model ranks; null where the run failed or no metrics are known.
   */
  metrics: Metrics | null;
  /**
   * Where the metrics come from: events since training, the user's held-out events, or the version's report.
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
   * The version number of this contract.
   */
  protocol: 1;
  /**
   * The version that serves.
   */
  version: string;
  /**
   * The limits of a request.
   */
  limits: Limits;
  /**
   * The process id.
   */
  pid: number;
}
export interface Limits {
  /**
   * The most bytes of a request, its line end included.
   */
  bytes: number;
  /**
   * The most levels of nesting.
   */
  depth: number;
  /**
   * The most members of a list or an object.
   */
  list: number;
  /**
   * The most items that can be requested.
   */
  limit: number;
}
export interface Pong {
  /**
   * Always true.
   */
  ok: true;
  /**
   * The version number of this contract.
   */
  protocol: 1;
  /**
   * The version that serves.
   */
  version: string;
  /**
   * The process id.
   */
  pid: number;
  /**
   * The version that was activated last but does not serve; null where there is none.
   */
  refused?: Refusal | null;
  /**
   * The request's id.
   */
  id?: Id;
}
export interface Refusal {
  /**
   * The name of the version; null where CURRENT itself cannot be read.
   */
  version: string | null;
  /**
   * The code of the failure that keeps it from serving.
   */
  code: string;
  /**
   * The failure's message, for people.
   */
  message: string;
}
export interface Stats {
  /**
   * Always true.
   */
  ok: true;
  /**
   * The version number of this contract.
   */
  protocol: 1;
  /**
   * The version that serves.
   */
  version: string;
  /**
   * The process id.
   */
  pid: number;
  /**
   * Seconds since it was ready.
   */
  uptime_s: number;
  /**
   * The number of lines answered, failures included.
   */
  answered: number;
  /**
   * The number of failures by code.
   */
  failures: {
    [k: string]: number;
  };
  /**
   * The number of times that the version was swapped.
   */
  swaps: number;
  /**
   * The version that was activated last but does not serve; null where there is none.
   */
  refused: Refusal | null;
  /**
   * The number of connections to the database that were opened.
   */
  connections: number;
  /**
   * Resident memory in bytes, mapped files included; null where the system does not report it.
   */
  rss_bytes: number | null;
  /**
   * The request's id.
   */
  id?: Id;
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
     * The path of the invalid field, such as interactions[3].event.
     */
    field?: string;
    /**
     * Whether the same request may succeed later.
     */
    retryable: boolean;
  };
  /**
   * The request's id.
   */
  id?: Id;
}
