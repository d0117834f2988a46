/** Asks Python for recommendations: docs/PROTOCOL.md as types, and the two ways to ask. */

import type { Failure, Id, Pong, Recommendation as Answer, Request, Stats } from './contract.js';

export type { Filters, Id, Item, Metrics, Reason, RecentEvent, Refusal, Run } from './contract.js';

/** As JavaScript may write it: an id may be a BigInt, which is sent as text. */
type Written<T> = [Id] extends [T] ? T | bigint : T extends readonly (infer One)[] ? Written<One>[] : T extends object ? Members<T> : T;
type Members<T> = { [Name in keyof T]: Written<T[Name]> };

/** `budget_ms` follows from the time that is left, and is not given here. */
type Question = Omit<Members<Request>, 'op' | 'item_id' | 'id' | 'budget_ms'>;

/** Comes back in the answer. */
interface Marked {
  id?: unknown;
}

/** What is asked. `null` is the same as leaving a field out. */
export interface RecommendationRequest extends Question, Marked {
  op?: 'recommend' | null;
}

/** Items like one item. */
export interface SimilarRequest extends Question, Marked {
  op: 'similar';
  item_id: Id | bigint;
}

/** For workers only: is it there, and is there another version. */
export interface PingRequest extends Marked {
  op: 'ping' | 'reload';
}

/** For workers only: how it has fared. */
export interface StatsRequest extends Marked {
  op: 'stats';
}

/** An answer that is proven to belong to its request. */
export interface Recommendation extends Omit<Answer, 'id'>, Marked {}

export interface PingAnswer extends Omit<Pong, 'id'>, Marked {}

export interface StatsAnswer extends Omit<Stats, 'id'>, Marked {}

/** What Python tells of a failure. */
export interface WireError extends Omit<Failure['error'], 'code'> {
  /** One of the contract's; a newer Python may know others. */
  code: string;
}

/** Told by Python (docs/PROTOCOL.md), then seen by Node. */
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

/** A request that got no proven answer. */
export class PythonBridgeError extends Error {
  readonly name: 'PythonBridgeError';
  readonly reason: FailureReason;
  /** For people. */
  readonly detail: string;
  readonly exitCode: number | null;
  /** Such as SIGKILL. */
  readonly signal: string | null;
  /** The end of the process's stderr as one line, without control characters. */
  readonly stderrTail: string;
  /** What Python told, where it told something. */
  readonly error: WireError | null;
  /** A process that had started well told it of this request, or ended over it: other requests may fare better, whatever the reason. */
  readonly aboutRequest: boolean;
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
  /**
   * How many models score at once, from 1; by default all of them. With a worker for every core, and more requests than workers, 1 gets more
   * of them done.
   */
  scoringThreads?: number;
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
  runPythonInference(request: PingRequest, options?: CallOptions): Promise<PingAnswer>;
  runPythonInference(request: StatsRequest, options?: CallOptions): Promise<StatsAnswer>;
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
