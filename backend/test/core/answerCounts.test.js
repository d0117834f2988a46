/** Counts of answers, on both databases: added up, kept while the database is away, bounded, and deleted after 90 days. */
import assert from 'node:assert/strict';

import { AnswerCounts } from '../../src/services/answerCounts.js';
import { onBothDatabases } from './databases.js';
import { Clock } from './shop.js';

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 10, 29, 10, 30);
const MODEL = { source: 'model', fallbackReason: null };
const LATE = { source: 'heuristic', fallbackReason: 'deadline' };
const SELECT = { type: 'SELECT' };

function counting(sequelize, now = NOW) {
  const lines = [];
  const clock = new Clock(now);
  return { counts: new AnswerCounts({ sequelize, clock, log: { warn: (...line) => lines.push(line) } }), clock, lines };
}

function addAll(counts, answers) {
  for (const answer of answers) counts.add(answer);
}

const rowsOf = async (counts) => (await counts.lastDays()).map(({ hour, source, reason, count }) => [hour.slice(5, 16), source, reason, count]);

onBothDatabases((shopTest) => {
  shopTest('answers are counted by hour, source and reason; two servers add up', async ({ sequelize, open }) => {
    const [one, other] = [counting(sequelize), counting(open())];
    addAll(one.counts, [MODEL, LATE, MODEL]);
    addAll(other.counts, [MODEL, LATE]);
    await Promise.all([one.counts.flush(), other.counts.flush()]);
    one.clock.turn(HOUR_MS);
    addAll(one.counts, [MODEL]);
    await one.counts.close();

    assert.deepEqual((await rowsOf(other.counts)).sort(), [
      ['11-29T10:00', 'heuristic', 'deadline', 2],
      ['11-29T10:00', 'model', null, 3],
      ['11-29T11:00', 'model', null, 1],
    ]);
    const stored = await sequelize.query('SELECT reason FROM rec_answer_counts', SELECT);
    assert.deepEqual(stored.map(({ reason }) => reason).sort(), ['', '', 'deadline']);
  });

  shopTest('what is counted while counts are being stored is stored with the next ones', async ({ sequelize }) => {
    const { counts } = counting(sequelize);
    addAll(counts, [MODEL]);
    const stored = counts.flush();
    addAll(counts, [MODEL, MODEL]);
    await stored;
    await counts.close();
    assert.deepEqual(await rowsOf(counting(sequelize).counts), [['11-29T10:00', 'model', null, 3]]);
  });

  shopTest('counts that the database does not take wait, and are told once', async ({ sequelize }) => {
    const { counts, clock, lines } = counting(sequelize);
    await sequelize.query('ALTER TABLE rec_answer_counts RENAME TO elsewhere');
    try {
      addAll(counts, [MODEL, LATE]);
      await counts.flush();
      clock.turn(HOUR_MS);
      addAll(counts, [MODEL]);
      await counts.flush();
      await assert.rejects(counts.lastDays());
    } finally {
      await sequelize.query('ALTER TABLE elsewhere RENAME TO rec_answer_counts');
    }
    assert.equal(lines.length, 1);
    assert.deepEqual(await rowsOf(counts), [
      ['11-29T10:00', 'heuristic', 'deadline', 1],
      ['11-29T10:00', 'model', null, 1],
      ['11-29T11:00', 'model', null, 1],
    ]);
  });

  shopTest('of too many different counts, the oldest are forgotten; names of any length fit', async ({ sequelize }) => {
    const { counts, clock } = counting(sequelize);
    addAll(counts, [{ source: 'first', fallbackReason: null }]);
    clock.turn(HOUR_MS);
    for (let n = 0; n < 1000; n += 1) counts.add({ source: 'model', fallbackReason: `reason ${n}` });
    counts.add({ source: `x${'🙂'.repeat(50)}`, fallbackReason: "'; DROP TABLE Users; --" });
    assert.equal(counts.nWaiting, 1000);
    await counts.close();
    const sources = new Set((await counts.lastDays()).map(({ source }) => source));
    assert.deepEqual([...sources].sort(), ['model', `x${'🙂'.repeat(24)}\ufffd`]);
  });

  shopTest('counts older than 90 days are deleted, those of 7 days are returned', async ({ sequelize }) => {
    for (const days of [91, 89, 8, 6]) {
      const { counts } = counting(sequelize, NOW - days * 24 * HOUR_MS);
      addAll(counts, [MODEL]);
      await counts.flush();
    }
    const { counts } = counting(sequelize);
    assert.deepEqual(await rowsOf(counts), [['11-23T10:00', 'model', null, 1]]);
    const hours = await sequelize.query('SELECT COUNT(*) AS n FROM rec_answer_counts', SELECT);
    assert.equal(Number(hours[0].n), 3);
  });
});
