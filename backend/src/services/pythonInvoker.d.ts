/** docs/PROTOCOL.md as types, and the two ways to have Python answer: a pool, and a process for one request. */

import type { Failure, Id, Pong, Recommendation as Answer, Refusal, Request, Stats } from './contract.js';

export type { Filters, Id, Item, Metrics, Reason, RecentEvent, Refusal, Run } from './contract.js';

/** A type as JavaScript may write it: an id may be a BigInt, which is sent as text. */
type Written<T> = [Id] extends [T]
  ? T | bigint
  : T extends readonly (infer One)[]
    ? Written<One>[]
    : T extends object
      ? Members<T>
      : T;
type Members<T> = { [Name in keyof T]: Written<T[Name]> };

/** A request without `budget_ms`, which follows from the time that is left. */
type RequestFields = Omit<Members<Request>, 'op' | 'item_id' | 'item_ids' | 'complementary' | 'id' | 'budget_ms'>;

/** A request or an answer with the caller's own id, which an answer returns. */
interface WithId {
  id?: unknown;
}

/** A request for recommendations. `null` means the same as leaving a field out. */
export interface RecommendationRequest extends RequestFields, WithId {
  op?: 'recommend' | null;
}

/** A request for items like one item. */
export interface SimilarRequest extends RequestFields, WithId {
  op: 'similar';
  item_id: Id | bigint;
}

/** A request for items that are bought together with those of a basket. */
export interface TogetherRequest extends Omit<RequestFields, 'model'>, WithId {
  op: 'together';
  item_ids: readonly (Id | bigint)[];
  complementary?: boolean | null;
}

/** A request for items that are chosen more often now than in the weeks before. */
export interface TrendingRequest extends Omit<RequestFields, 'model'>, WithId {
  op: 'trending';
}

/** A request for items that the user bought before and may need again. */
export interface AgainRequest extends Omit<RequestFields, 'model'>, WithId {
  op: 'again';
}

/** A request that is answered with items. */
export type ListRequest = RecommendationRequest | SimilarRequest | TogetherRequest | TrendingRequest | AgainRequest;

/** For workers only. `ping` shows that a worker answers, `reload` has it look for another version. */
export interface PingRequest extends WithId {
  op: 'ping' | 'reload';
}

/** A request for a worker's own counts; for workers only. */
export interface StatsRequest extends WithId {
  op: 'stats';
}

/** A validated answer: it belongs to its request and its user. */
export interface Recommendation extends Omit<Answer, 'id'>, WithId {}

export interface PingAnswer extends Omit<Pong, 'id'>, WithId {}

export interface StatsAnswer extends Omit<Stats, 'id'>, WithId {}

/** A failure as Python reports it. */
export interface WireError extends Omit<Failure['error'], 'code'> {
  /** A code of the contract; a newer Python may have others. */
  code: string;
}

/** The codes that Python reports (docs/PROTOCOL.md), then what Node notices itself. */
export type FailureReason =
  | Failure['error']['code']
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

/** What is known of a failure besides its reason. */
export interface FailureFacts {
  exitCode?: number | null;
  signal?: string | null;
  stderrTail?: string;
  error?: WireError | null;
  aboutRequest?: boolean;
  cause?: unknown;
}

/** A request without a validated answer. */
export class PythonBridgeError extends Error {
  constructor(reason: FailureReason, detail: string, facts?: FailureFacts);
  readonly name: 'PythonBridgeError';
  readonly reason: FailureReason;
  /** A sentence for people. */
  readonly detail: string;
  readonly exitCode: number | null;
  /** Such as SIGKILL. */
  readonly signal: string | null;
  /** The end of the process's stderr as one line, without control characters. */
  readonly stderrTail: string;
  /** The failure that Python reported, or null. */
  readonly error: WireError | null;
  /** Whether a process that had started well failed on this request; other requests may succeed. */
  readonly aboutRequest: boolean;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** Whether a new process would fail in the same way until an operator changes something. */
  readonly isLasting: boolean;
}

export interface LaunchOptions {
  /** The interpreter; by default PYTHON_BIN, the repository's .venv, or the first of python3, python and py on PATH. */
  python?: string;
  /** By default recommend_api.py of this repository. */
  script?: string;
  /** More arguments of the script. */
  scriptArgs?: string[];
  /** Where the child's variables come from; by default `process.env`. A child gets none but the allowed ones. */
  env?: Record<string, string | undefined>;
  /**
   * How many models score at once, from 1; by default all of them. If every core has a worker and there are more
   * requests than workers, 1 has the highest throughput.
   */
  scoringThreads?: number;
}

export interface CallOptions {
  /** Milliseconds from the call to its answer or failure. By default 800 in a pool, 5000 without. */
  timeoutMs?: number;
}

export interface PoolEvent {
  type:
    | 'spawned'
    | 'ready'
    | 'down'
    | 'gone'
    | 'refused'
    | 'version_refused'
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
  /** How many workers to keep; 2 by default. */
  size?: number;
  /** How many requests each worker may have; 2 by default. */
  depth?: number;
  /** How many requests may wait, and how many bytes they may have; 64 and 8 MiB by default. */
  queue?: { jobs?: number; bytes?: number };
  /** How many deaths within `windowMs` stop all starts for `coolDownMs`; 5, 3 minutes and 30 s by default. */
  breaker?: { deaths?: number; windowMs?: number; coolDownMs?: number };
  /** After how many answers, or above how many bytes of memory, to replace a worker; 10,000 and 1 GiB by default. */
  recycle?: { requests?: number; bytes?: number };
  /** Called for logs and alarms. 'refused', 'version_refused', 'breaker_open' and 'quarantined' need an operator. */
  onEvent?: (event: PoolEvent) => void;
}

export interface WorkerStats {
  pid: number | null;
  state: 'booting' | 'ready' | 'leaving' | 'down' | 'gone';
  version: string | null;
  /** The version that was activated last but that the worker refused, as of its latest ping; they are 10 s apart at most. */
  refused: Refusal | null;
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
  /** The lasting failure because of which no worker is started. */
  refused: FailureReason | null;
  /** How many requests were being computed when a worker died. */
  suspects: number;
  answered: number;
  failed: Partial<Record<FailureReason, number>>;
  spawned: number;
  deaths: number;
  recycled: number;
  /** Lines that were not used: before `ready`, to no request, too late. */
  banner: number;
  stray: number;
  late: number;
}

export interface Pool {
  runPythonInference(request: ListRequest, options?: CallOptions): Promise<Recommendation>;
  runPythonInference(request: PingRequest, options?: CallOptions): Promise<PingAnswer>;
  runPythonInference(request: StatsRequest, options?: CallOptions): Promise<StatsAnswer>;
  /** Resolves once a worker is ready; rejects as soon as no worker will be. */
  ready(): Promise<void>;
  stats(): PoolStats;
  /** Starts workers again after a lasting failure whose repair changes no watched file. */
  reset(): void;
  /** Refuses new and waiting requests, lets workers answer theirs, and stops them. */
  close(): Promise<void>;
}

/** Has Python answer one request, in a process of its own. */
export function runPythonInference(
  request: ListRequest,
  options?: CallOptions & LaunchOptions,
): Promise<Recommendation>;

/** Starts a pool of workers. Call it from the main thread: a worker ends with the thread that started it. */
export function createPool(options?: PoolOptions): Pool;
