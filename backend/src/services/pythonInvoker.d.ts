/** Asks Python for recommendations: docs/PROTOCOL.md as types, and the two ways to ask. */

/** A whole number within ±(2^53 − 1), or a text; larger numbers travel as text. */
export type Id = number | string;

export interface RecentEvent {
  item_id: Id | bigint;
  event: string;
  /** Seconds since 1970 in UTC; now, if left out. */
  timestamp?: number | null;
}

export interface Filters {
  category?: Id | null;
  brand?: Id | null;
  price_min?: number | null;
  price_max?: number | null;
  in_stock?: boolean | null;
}

/** What is asked. `null` is the same as leaving a field out; `budget_ms` follows from the time that is left, and is not given here. */
export interface RecommendationRequest {
  op?: 'recommend' | null;
  user_id?: Id | bigint | null;
  limit?: number | null;
  model?: string | null;
  context?: Record<string, Id | null> | null;
  interactions?: RecentEvent[] | null;
  ground_truth?: (Id | bigint)[] | null;
  candidates?: (Id | bigint)[] | null;
  exclude?: (Id | bigint)[] | null;
  filters?: Filters | null;
  /** Comes back in the answer. */
  id?: unknown;
}

/** Items like one item. */
export interface SimilarRequest extends Omit<RecommendationRequest, 'op'> {
  op: 'similar';
  item_id: Id | bigint;
}

/** For workers only: is it there, how has it fared, is there another version. */
export interface WorkerRequest {
  op: 'ping' | 'stats' | 'reload';
  id?: unknown;
}

export interface Item {
  productId: Id;
  /** From 0 to 1; comparable within one answer only. */
  score: number;
  reason?: { code: string; item_id?: Id };
}

export interface Run {
  model: string;
  items: Id[];
  metrics: { precision10: number; map10: number } | null;
  basis: 'fresh' | 'heldout' | 'offline' | null;
  error?: string;
}

/** An answer that is proven to belong to its request. */
export interface Recommendation {
  ok: true;
  /** In the shop's type; null for a guest. */
  user_id: Id | null;
  model: string;
  model_version: string;
  items: Item[];
  runs: Run[];
  source: 'model' | 'fold_in' | 'item_cf' | 'popularity';
  context: Record<string, string | null>;
  warnings: string[];
  ms: number;
  id?: unknown;
}

export interface WorkerAnswer {
  ok: true;
  protocol: number;
  version: string;
  pid: number;
  [field: string]: unknown;
}

/** What Python tells of a failure. */
export interface WireError {
  code: string;
  message: string;
  field?: string;
  retryable: boolean;
}

/** Told by Python (docs/PROTOCOL.md), then seen by Node. */
export type FailureReason =
  | 'usage'
  | 'invalid_json'
  | 'invalid_request'
  | 'too_large'
  | 'unknown_user'
  | 'database_unavailable'
  | 'internal'
  | 'deadline'
  | 'overloaded'
  | 'model_refused'
  | 'no_model'
  | 'model_mismatch'
  | 'settings'
  | 'no_python'
  | 'spawn_failed'
  | 'handshake'
  | 'not_ready'
  | 'crashed'
  | 'bad_answer'
  | 'crossed_answer'
  | 'breaker_open'
  | 'quarantined'
  | 'closed';

export const FAILURE_REASONS: readonly FailureReason[];

/** A request that got no proven answer. */
export class PythonBridgeError extends Error {
  readonly name: 'PythonBridgeError';
  readonly reason: FailureReason;
  /** For people. */
  readonly detail: string;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of the process's stderr as one line, without control characters. */
  readonly stderrTail: string;
  /** What Python told, where it told something. */
  readonly error: WireError | null;
  /** The same request may succeed later. */
  readonly retryable: boolean;
  /** No new process will do better until somebody puts something right. */
  readonly isLasting: boolean;
}

export interface LaunchOptions {
  /** The interpreter; by default PYTHON_BIN, the repository's .venv, or the first of python3, python and py on PATH. */
  python?: string;
  /** By default recommend_api.py of this repository. */
  script?: string;
  /** Further words of the command line. */
  scriptArgs?: string[];
  /** Where the child's variables are chosen from; by default `process.env`. A child never sees any other than the allowed ones. */
  env?: Record<string, string | undefined>;
}

export interface CallOptions {
  /** Milliseconds from the call until the caller has an answer or a failure. By default 800 in a pool, 5000 without. */
  timeoutMs?: number;
}

export interface PoolEvent {
  type:
    | 'spawned'
    | 'ready'
    | 'down'
    | 'gone'
    | 'refused'
    | 'recycled'
    | 'quarantined'
    | 'breaker_open'
    | 'breaker_closed'
    | 'banner'
    | 'stray'
    | 'late';
  failure?: PythonBridgeError;
  [fact: string]: unknown;
}

export interface PoolOptions extends LaunchOptions {
  /** Workers to keep; 2 by default. */
  size?: number;
  /** Requests on the wire of each worker; 2 by default. */
  depth?: number;
  /** How many requests may wait, and how many bytes they may have; 64 and 8 MiB by default. */
  queue?: { jobs?: number; bytes?: number };
  /** So many deaths within so long end all starting for a while; 5, 3 minutes and 30 s by default. */
  breaker?: { deaths?: number; windowMs?: number; coolDownMs?: number };
  /** A worker is replaced after so many answers, or above so many bytes of memory; 10,000 and 1 GiB by default. */
  recycle?: { requests?: number; bytes?: number };
  /** What happens, for logs and alarms: 'refused', 'breaker_open' and 'quarantined' want somebody's attention. */
  onEvent?: (event: PoolEvent) => void;
}

export interface WorkerStats {
  pid: number | null;
  state: 'booting' | 'ready' | 'leaving' | 'down' | 'gone';
  version: string | null;
  /** Answers so far. */
  served: number;
  inFlight: number;
}

export interface PoolStats {
  workers: WorkerStats[];
  queued: number;
  queuedBytes: number;
  breaker: 'closed' | 'open' | 'half-open';
  recentDeaths: number;
  /** The lasting failure that keeps workers from being started. */
  refused: FailureReason | null;
  /** Requests that were being computed when a worker died. */
  suspects: number;
  answered: number;
  failed: Partial<Record<FailureReason, number>>;
  spawned: number;
  deaths: number;
  recycled: number;
  /** Lines that were not used: before `ready`, unasked for, too late. */
  banner: number;
  stray: number;
  late: number;
}

export interface Pool {
  runPythonInference(request: RecommendationRequest | SimilarRequest, options?: CallOptions): Promise<Recommendation>;
  runPythonInference(request: WorkerRequest, options?: CallOptions): Promise<WorkerAnswer>;
  /** Resolves once a worker is ready; rejects as soon as it is clear that none will be. */
  ready(): Promise<void>;
  stats(): PoolStats;
  /** Starts workers again after a lasting failure that no file shows to be put right. */
  reset(): void;
  /** Takes no more requests, lets workers answer what they have, and ends them. */
  close(): Promise<void>;
}

/** Asks once, in a process of its own. */
export function runPythonInference(
  request: RecommendationRequest | SimilarRequest,
  options?: CallOptions & LaunchOptions,
): Promise<Recommendation>;

/** Starts a pool of workers. Call it from the main thread: a worker ends with the thread that started it. */
export function createPool(options?: PoolOptions): Pool;
