/** What administrators see: the active version and its figures, the answers of the last days, the server's state, and one user. */
import { QueryTypes } from 'sequelize';

import { withinMs } from '../concurrency/time.js';
import { ownTable } from '../config/database.js';
import { refusalsOf } from '../monitoring/metrics.js';
import { modelRows, sentenceOf } from './evaluation.js';
import { Catalogue } from './recommendations/catalogue.js';

/**
 * @import { Sequelize } from 'sequelize'
 * @import { Models } from '../models/index.js'
 * @import { Metrics } from '../monitoring/metrics.js'
 * @import { AnswerCounts } from './answerCounts.js'
 * @import { InteractionService } from './interactionService.js'
 * @import { Pool } from './pythonInvoker.js'
 * @import { RecommendationService } from './recommendationService.js'
 * @import { List } from './recommendations/answers.js'
 * @import { Snapshot } from './recommendations/snapshot.js'
 * @import { WaitingFolder } from './spool/databases.js'
 */

/**
 * @typedef {object} Parts
 * @property {Sequelize} sequelize
 * @property {Models} models
 * @property {Pick<RecommendationService, 'getCachedForUser' | 'computeRecommendationsForUser' | 'deriveContext'>} recommendations
 * @property {Snapshot} snapshot
 * @property {Pick<Metrics, 'latency'>} metrics
 * @property {Pick<AnswerCounts, 'lastDays'>} answerCounts
 * @property {Pick<InteractionService, 'stats'>} interactions
 * @property {Pick<Pool, 'stats'>} python
 * @property {() => WaitingFolder[]} [elsewhere]
 * @property {{now: () => number}} [clock] Milliseconds since 1970.
 *
 * @typedef {object} ModelRun The newest run of a model for a user.
 * @property {string} modelName
 * @property {any} metrics What was stored; null where it cannot be read.
 * @property {any} recommendations What was stored; null where it cannot be read.
 * @property {Date | string} createdAt
 */

const LIST_ROUTE = '/api/recommendations/list';
const DAY_MS = 86_400_000;
const READ_MS = 2500; // for one answer's queries; the page shows that the database is slow
const RUNS_READ = 40; // the newest rows hold the newest run of each model
const EVENTS_READ = 50;

/** Answers the administrators' page. */
export class AdminService {
  #parts;
  #catalogue;
  #startedAt;

  /** @param {Parts} parts */
  constructor({ clock = Date, elsewhere = () => [], ...parts }) {
    this.#parts = { ...parts, clock, elsewhere };
    this.#catalogue = new Catalogue(parts.sequelize, clock);
    this.#startedAt = clock.now();
  }

  /** Return the version, its models, the answers of the last 7 days, and the state of the server. */
  async overview() {
    const { snapshot, metrics, python, interactions, elsewhere, sequelize, clock } = this.#parts;
    const [published, latency, answers] = await Promise.all([snapshot.current(), metrics.latency(LIST_ROUTE), this.#answers()]);
    const models = published === null ? [] : modelRows(published);
    const { pending: waiting, rejected } = interactions.stats();
    return {
      version: published && this.#versionOf(published),
      models,
      sentence: sentenceOf(models),
      latency,
      answers,
      python: poolFacts(python.stats()),
      spool: { waiting, rejected, elsewhere: elsewhere().map(({ folder, database }) => database ?? folder) },
      server: { database: sequelize.getDialect(), uptime: durationText(clock.now() - this.#startedAt), node: process.version },
    };
  }

  /**
   * Return a user: the cached list, the newest run of each model, and the newest events, all with their products.
   *
   * @param {number} userId
   * @param {{limit: number, made?: List}} options `limit`: how many products of the list and of each run. `made`: a list that was just made, which
   *   is shown even if it could not be stored.
   * @returns {Promise<object | null>} Null for an unknown user.
   * @throws {TooLate | Error} The database is slow, or failed.
   */
  async user(userId, { limit, made }) {
    return withinMs(READ_MS, this.#user(userId, limit, made));
  }

  /**
   * Make a new list for a user, and return the user as `user` does.
   *
   * @param {number} userId
   * @param {{limit: number}} options
   */
  async makeList(userId, { limit }) {
    if ((await withinMs(READ_MS, this.#userOf(userId))) === null) return null;
    const made = await this.#parts.recommendations.computeRecommendationsForUser(userId, { limit });
    return this.user(userId, { limit, made });
  }

  async #user(userId, limit, made) {
    const user = await this.#userOf(userId);
    if (user === null) return null;
    const { recommendations, models } = this.#parts;
    const [list, runs, events] = await Promise.all([
      made ? { ...made, computedAt: isoOf(this.#parts.clock.now()) } : this.#listOf(userId, limit),
      newestRuns(models.ModelRun, userId),
      this.#eventsOf(userId),
    ]);
    const shown = runs.map((run) => ({ ...run, ids: idsOf(run.recommendations).slice(0, limit) }));
    const products = await this.#productsOf([...shown.flatMap(({ ids }) => ids), ...events.map(({ productId }) => productId)]);
    const productOf = (id) => products.get(id) ?? { id }; // a product that the shop has deleted
    const name = [user.firstName, user.lastName].filter(Boolean).join(' ');
    return {
      user: { id: userId, name: name || null },
      list,
      context: recommendations.deriveContext({}),
      runs: shown.map(({ modelName, metrics, ids, createdAt }) => runOf(modelName, metrics, ids.map(productOf), createdAt)),
      history: events.map(({ productId, actionCode, timestamp }) => ({ product: productOf(productId), actionCode, timestamp: isoOf(timestamp) })),
    };
  }

  #userOf(userId) {
    return this.#parts.models.User.findByPk(userId, { attributes: ['id', 'firstName', 'lastName'], raw: true });
  }

  async #listOf(userId, limit) {
    const sql = `SELECT source, computedAt FROM ${ownTable(this.#parts.sequelize, 'rec_lists')} WHERE userId = $userId`;
    const [cached, [stored]] = await Promise.all([
      this.#parts.recommendations.getCachedForUser(userId, { limit }),
      /** @type {Promise<any[]>} */ (this.#parts.sequelize.query(sql, { bind: { userId }, type: QueryTypes.SELECT })),
    ]);
    if (cached === null || stored === undefined) return null;
    const { data, fallbackReason, modelVersion } = cached;
    const source = cached.source === 'cache' ? stored.source : cached.source; // what made the list, instead of where it lay
    return { data, source, fallbackReason, modelVersion, computedAt: isoOf(Number(stored.computedAt)) };
  }

  #eventsOf(userId) {
    const attributes = ['productId', 'actionCode', 'timestamp'];
    const order = /** @type {[string, string][]} */ ([['timestamp', 'DESC'], ['interId', 'DESC']]);
    return /** @type {Promise<any[]>} */ (this.#parts.models.Interaction.findAll({ where: { userId }, attributes, order, limit: EVENTS_READ, raw: true }));
  }

  async #productsOf(ids) {
    const products = await this.#catalogue.products([...new Set(ids)].sort((one, other) => one - other));
    return new Map(products.map((product) => [product.id, product]));
  }

  /** Return the counts of the last days; null if they cannot be read, for example because their table is missing. */
  async #answers() {
    try {
      return await withinMs(READ_MS, this.#parts.answerCounts.lastDays());
    } catch {
      return null;
    }
  }

  #versionOf({ name, trainedAt, dataUntil }) {
    const ageDays = trainedAt === null ? null : (this.#parts.clock.now() - trainedAt) / DAY_MS;
    return { name, trainedAt: isoOf(trainedAt), ageDays, dataUntil: isoOf(dataUntil) };
  }
}

/**
 * Return the newest run of each model.
 *
 * @returns {Promise<ModelRun[]>}
 */
export async function newestRuns(ModelRun, userId) {
  const rows = await ModelRun.findAll({ where: { userId }, order: [['createdAt', 'DESC'], ['id', 'DESC']], limit: RUNS_READ, raw: true });
  const isNewest = ({ modelName }, index) => rows.findIndex((row) => row.modelName === modelName) === index;
  return rows.filter(isNewest).map(({ modelName, metricsJson, recommendationsJson, createdAt }) => ({
    modelName,
    metrics: parsed(metricsJson),
    recommendations: parsed(recommendationsJson),
    createdAt,
  }));
}

function runOf(model, metrics, items, createdAt) {
  const { precision10 = null, map10 = null, basis = null, error = null } = metrics ?? {};
  return { model, metrics: metrics && { precision10, map10, basis }, error, items, createdAt: isoOf(createdAt) };
}

/** Return the ids in a stored list of items, or of ids as older versions stored them. */
function idsOf(items) {
  if (!Array.isArray(items)) return [];
  return [...new Set(items.map((item) => item?.productId ?? item).filter(Number.isSafeInteger))];
}

function poolFacts({ workers, queued, answered, failed, deaths, breaker, refused }) {
  const [refusal] = refusalsOf({ workers });
  const ready = workers.filter(({ state }) => state === 'ready').length;
  const failures = Object.values(failed).reduce((sum, count) => sum + count, 0);
  return { ready, workers: workers.length, queued, answered, failed: failures, deaths, breaker, refused, refusedVersion: refusal ? `${refusal.version ?? 'CURRENT'}: ${refusal.message}` : null };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // written by hand, or cut off
  }
}

/** Return a moment in ISO 8601, null if there is none. Without a zone, a text is in UTC, as SQLite returns it. */
function isoOf(moment) {
  if (moment === null || moment === undefined) return null;
  const date = new Date(typeof moment === 'string' ? `${moment.slice(0, 19).replace(' ', 'T')}Z` : moment);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

function durationText(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} d`;
}
