/** The application with fakes of its services, and requests to it. */
import { Writable } from 'node:stream';

import bcrypt from '@node-rs/bcrypt';
import jwt from 'jsonwebtoken';
import pino from 'pino';
import request from 'supertest';

import { createApp } from '../../src/app.js';
import { readSettings } from '../../src/config/settings.js';
import { AuthService } from '../../src/services/authService.js';
import { createMetrics } from '../../src/monitoring/metrics.js';

export const SECRET = 'a secret of the tests, which is long enough';
export const PRODUCT = { id: 110, name: 'Nord tea', statusId: 'S1' };
export const ANSWER = {
  data: [{ product: PRODUCT, score: 0.5, modelName: 'BMF', reason: { code: 'popular' } }],
  source: 'model',
  fallbackReason: null,
  modelVersion: 'v1',
};
export const USERS = new Map([
  [0, { id: 0, roleId: 'R2', statusId: 'S1' }],
  [7, { id: 7, roleId: 'R2', statusId: 'S1' }],
  [8, { id: 8, roleId: 'R2', statusId: null }],
  [9, { id: 9, roleId: 'R2', statusId: 'S2' }], // closed
  [1, { id: 1, roleId: 'R1', statusId: 'S1' }], // administrator
]);
export const PYTHON = { workers: [{ state: 'ready' }], queued: 0, breaker: 'closed', answered: 5, failed: {}, deaths: 0, refused: null };

/** Return settings as the server reads them. */
export function settingsWith(variables = {}, root = '/nowhere') {
  return readSettings({ DATABASE_URL: 'sqlite:///shop.sqlite', JWT_SECRET: SECRET, ...variables }, root);
}

/** Return a logger, and the lines that it has written. */
export function listeningLog(level = 'trace') {
  const lines = [];
  const stream = new Writable({
    write(line, _encoding, done) {
      lines.push(JSON.parse(line));
      done();
    },
  });
  return { log: pino({ level }, stream), lines };
}

/** Return the application, what was asked behind it, and how to ask it. */
export function stage({ variables, services = {}, users = USERS } = {}) {
  const settings = settingsWith(variables);
  const asked = [];
  const answering = (name, answer) => async (...args) => {
    asked.push([name, ...args]);
    return answer;
  };
  const { log, lines } = listeningLog();
  const models = {
    User: {
      findByPk: async (id) => users.get(id) ?? null,
      findOne: async ({ where: { email } }) => [...users.values()].find((user) => user.email === email) ?? null,
      findAll: async () => [...users.values()],
    },
    ModelRun: { findAll: async () => [] },
  };
  const all = {
    settings,
    log,
    models,
    sequelize: { query: answering('query', []) },
    python: { stats: () => PYTHON },
    snapshot: { current: async () => null },
    recommendations: {
      listForUser: answering('listForUser', ANSWER),
      listForGuest: answering('listForGuest', ANSWER),
      computeRecommendationsForUser: answering('computeRecommendationsForUser', ANSWER),
      clearForUser: answering('clearForUser', 3),
      similar: answering('similar', ANSWER),
      together: answering('together', ANSWER),
      trending: answering('trending', ANSWER),
      again: answering('again', ANSWER),
      getCachedForUser: answering('getCachedForUser', ANSWER),
      deriveContext: () => ({ time_of_day: 'evening', season: null, device_type: 'mobile' }),
    },
    interactions: {
      hasJoined: () => false,
      record: answering('record', { eventId: 'event-0001', stored: true, duplicate: false, spooled: false, clamped: null }),
      join: answering('join', undefined),
      stats: () => ({ pending: 0, bytes: 0, damaged: 0, rejected: 0 }),
    },
    products: { browse: answering('browse', { data: [PRODUCT] }), product: answering('product', PRODUCT), picture: answering('picture', { picture: '', etag: 'x' }) },
    history: { viewed: answering('viewed', [PRODUCT]), cart: answering('cart', [PRODUCT]) },
    metrics: createMetrics(),
    answerCounts: { add: () => {} },
    arms: { of: () => null, enter: async () => {} },
    lists: { visited: answering('visited', undefined) },
    sales: { latest: () => ({ report: null, computedAt: null, isComputing: true, failure: null }) },
    admin: { overview: answering('overview', {}), user: answering('user', {}), makeList: answering('makeList', {}) },
    auth: new AuthService({ settings, models, passwords: bcrypt, log }),
    ...services,
  };
  const app = createApp(all);
  return { ...all, app, asked, lines, agent: request(app), as: (id, claims, options) => ({ Authorization: `Bearer ${tokenOf(id, claims, options)}` }) };
}

/** Return a token as the server itself would sign it, but for what is told otherwise. */
export function tokenOf(id, claims = {}, { secret = SECRET, ...options } = {}) {
  return jwt.sign({ sub: String(id), ...claims }, secret, { algorithm: 'HS256', ...('exp' in claims ? {} : { expiresIn: 3600 }), ...options });
}

/** Return a part of a token as it travels. */
export function segment(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
