/** The diagrams parse, name only what is in the code, and are drawn as they are written. */
/* global document -- of Chromium, in what `evaluate` runs */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { JSDOM } from 'jsdom';

import { CHROMIUM, NAMES, draw, readText, stampOf, withPage } from './drawing.js';
import { flowchartLabels, labelsOf, linesOf, sequenceLabels, textOf } from './labels.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FILES = [...['recsys', 'backend/src'].flatMap(codeBelow), 'train.py', 'recommend_api.py'];
const CODE = FILES.map((file) => readFileSync(path.join(ROOT, file), 'utf8')).join('\n');
const TABLES = new Set([...CODE.matchAll(/CREATE TABLE IF NOT EXISTS (\w+)/g)].map(([, table]) => table));
const ROUTES = new Set([...CODE.matchAll(/\{ method: '(\w+)', path: '([^']+)'/g)].map(([, method, route]) => `${method} ${route}`));
const SQL = new Set('SELECT FROM LEFT JOIN WHERE IN INSERT INTO UPDATE'.split(' '));
const USUAL_NAMES = new Set(['n_contexts']); // of `context_sizes`, in papers
const SOURCES = NAMES.map((name) => [name, readText(`${name}.mmd`)]);
const ACTIVITIES = SOURCES.filter(([name]) => name.startsWith('activity'));
const SEQUENCES = SOURCES.filter(([name]) => name.startsWith('sequence'));

const { window } = new JSDOM('');
Object.assign(globalThis, { window, document: window.document, Option: window.Option });
const { default: mermaid } = await import('mermaid');

// Sources

for (const [name, source] of SOURCES) {
  test(`${name} is a diagram, in composed characters`, async () => {
    const { diagramType } = await mermaid.parse(source);
    assert.equal(diagramType, name.startsWith('activity') ? 'flowchart-v2' : 'sequence');
    assert.equal(source, source.normalize('NFC'));
  });

  test(`${name}: every function exists, with these parameters`, () => {
    const calls = textsOf(source).flatMap(callsIn);
    assert.ok(calls.length > 20);
    for (const { owner, called, words } of calls) {
      assert.ok(definitionOf(called).test(CODE), `${called} should be defined`);
      if (owner) assert.ok(new RegExp(`\\bclass ${owner}\\b`).test(CODE), `${owner} should be a class`);
      const isSo = callsOf(called).some((parameters) => words.every((word) => parameters.has(word)));
      assert.ok(isSo, `${called} should be called with ${words}`);
    }
  });

  test(`${name}: every route, table, file and other name exists`, () => {
    const texts = textsOf(source);
    assert.deepEqual(texts.flatMap(routesIn).filter((route) => !ROUTES.has(route)), []);
    const tables = [...texts.flatMap(tablesInSql), ...cylindersOf(source)];
    assert.deepEqual(tables.filter((table) => !TABLES.has(table)), []);
    assert.ok(tables.includes('model_runs') && tables.includes('recommendations'));
    assert.deepEqual(texts.flatMap(filesIn).filter((file) => !isThere(file)), []);
    assert.deepEqual(texts.flatMap(identifiersIn).filter((word) => !new RegExp(`(?<!\\w)${word}(?!\\w)`).test(CODE)), []);
  });

  test(`${name} was drawn from this source by this mermaid`, () => {
    assert.equal(readText(`${name}.svg`).split('\n')[0], `<!-- ${stampOf(source)} -->`, 'npm run render --prefix docs/diagrams');
  });
}

test('a name that the code does not have is found', () => {
  const [{ called, words }] = callsIn('gone(user, { limit })');
  assert.deepEqual([called, words], ['gone', ['user', 'limit']]);
  assert.ok(!definitionOf(called).test(CODE));
  assert.deepEqual(callsIn('Encoders.fit(), score()').map(({ owner, called: one }) => [owner, one]), [['Encoders', 'fit'], [undefined, 'score']]);
  assert.deepEqual(routesIn('GET /api/gone'), ['GET /api/gone']);
  assert.deepEqual(tablesInSql('none SELECT … FROM gone LEFT JOIN Products WHERE p.id IN (…)'), ['gone', 'Products']);
  assert.deepEqual(['train.py', 'gone.js', '*_gone.h5', '*_config.json'].map(isThere), [true, false, false, true]);
  assert.deepEqual(identifiersIn('this is userId, and user_id, in NeuMF'), ['userId', 'user_id', 'NeuMF']);
});

test('both languages draw the same diagram', () => {
  for (const [[, english], [, vietnamese]] of [ACTIVITIES, SEQUENCES]) assert.deepEqual(skeletonOf(vietnamese), skeletonOf(english));
});

for (const [name, source] of SEQUENCES) {
  test(`${name}: in each branch, who is activated is deactivated`, () => {
    const declared = new Set(linesOf(source).flatMap((line) => /^participant (\w+)/.exec(line)?.[1] ?? []));
    let active = [[]];
    for (const line of linesOf(source)) {
      const [, verb, who] = /^(activate|deactivate) (\w+)$/.exec(line) ?? [];
      if (verb === 'activate') active[0].push(who);
      if (verb === 'deactivate') assert.equal(active[0].pop(), who, line);
      if (who) assert.ok(declared.has(who), `${who} should be declared`);
      if (/^(alt|opt|loop|par|box) /.test(line)) active = [[], ...active];
      if (/^(else|and|end)\b/.test(line)) assert.deepEqual(active[0], [], line);
      if (line === 'end') active = active.slice(1);
    }
    assert.deepEqual(active, [[]]);
  });
}

test('the page shows every diagram', () => {
  const page = readText('../DIAGRAMS.md');
  for (const name of NAMES) assert.ok(page.includes(`](diagrams/${name}.svg)](diagrams/${name}.svg)`), name);
});

// Drawings

test('Chromium draws every text, bar and box of the sources', { skip: CHROMIUM === undefined && 'there is no Chromium; CHROMIUM names one elsewhere' }, async () => {
  await withPage(async (page) => {
    for (const [name, source] of SOURCES) {
      const kept = await shownIn(page, readText(`${name}.svg`));
      const drawn = await shownIn(page, await draw(page, name));
      for (const shown of [kept, drawn]) {
        if (name.startsWith('activity')) checkFlowchart(shown, source);
        else checkSequence(shown, source);
      }
    }
  });
});

function checkFlowchart(shown, source) {
  const body = linesOf(source).filter((line) => !line.startsWith('subgraph')).join('\n');
  assert.deepEqual(shown.labels.sort(), flowchartLabels(source).map(textOf).sort());
  assert.equal(shown.nodes.length, [...body.matchAll(/\b\w+(?:\[\(|\(\[|\(\(|\[\/|\[|\{)"/g)].length);
  assert.equal(shown.clusters, linesOf(source).filter((line) => line.startsWith('subgraph')).length);
  for (const [index, box] of shown.nodes.entries()) {
    for (const other of [...shown.nodes.slice(index + 1), ...shown.titles]) assert.ok(!overlap(box, other), `${box.text} and ${other.text} overlap`);
  }
}

function checkSequence(shown, source) {
  const { participants, boxes, messages, notes, frames, sections } = sequenceLabels(source);
  const labels = [...participants, ...participants, ...boxes, ...messages, ...notes, ...sections.map((text) => `[${text}]`)];
  assert.deepEqual(shown.lines.sort(), [...labels.flatMap((label) => label.split('<br>')), ...frames].map(textOf).sort());
  const lines = linesOf(source);
  assert.equal(shown.activations, lines.filter((line) => line.startsWith('activate ')).length);
  assert.equal(shown.boxes, boxes.length);
  assert.equal(shown.frames, frames.length);
  assert.equal(shown.notes, notes.length);
}

function overlap(one, other) {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

/** Return what a page shows of an SVG: its texts, and how many shapes there are of each kind. */
async function shownIn(page, svg) {
  return page.evaluate((text) => {
    document.body.innerHTML = text;
    const all = (selector, root = document) => [...root.querySelectorAll(selector)];
    const plain = (element) => element.textContent.replace(/\s+/g, ' ').trim();
    const joined = (group) => all('tspan.text-outer-tspan', group).map(plain).join(' ').trim();
    const boxOf = (element) => {
      const { left, right, top, bottom } = element.getBoundingClientRect();
      return { text: plain(element), left, right, top, bottom };
    };
    return {
      labels: all('g.node, g.edgeLabel, g.cluster-label').map(joined).filter(Boolean),
      nodes: all('g.node').map(boxOf),
      titles: all('g.cluster-label text').map(boxOf),
      clusters: all('g.cluster').length,
      lines: all('text, tspan').filter((element) => element.querySelector('tspan') === null).map(plain).filter(Boolean),
      activations: all('rect[class^=activation]').length,
      boxes: all('rect.rect').length,
      frames: all('.labelBox').length,
      notes: all('rect.note').length,
    };
  }, svg);
}

// Names

function codeBelow(folder) {
  const files = readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' });
  return files.filter((file) => /\.(py|js|sql|json)$/.test(file)).map((file) => path.join(folder, file));
}

function textsOf(source) {
  return labelsOf(source).map(textOf);
}

/** Return the calls in a text: `Owner.called(words)`. */
function callsIn(text) {
  return [...text.matchAll(/(?:\b([A-Z]\w*)\.)?\b(\w+)\(/g)].map((match) => {
    const inside = insideOf(text.slice(match.index + match[0].length));
    return { owner: match[1], called: match[2], words: [...inside.matchAll(/\w+/g)].map(([word]) => word) };
  });
}

/** Return a text up to the bracket that closes it. */
function insideOf(text) {
  let depth = 1;
  const end = [...text].findIndex((sign) => (depth += { '(': 1, ')': -1 }[sign] ?? 0) === 0);
  return text.slice(0, end);
}

/** Return the words between the brackets of each definition and each call of a function. */
function callsOf(name) {
  const places = CODE.matchAll(new RegExp(`(?<!\\w)${name}\\(`, 'g'));
  return [...places].map(({ index }) => new Set(insideOf(CODE.slice(index + name.length + 1, index + 1000)).match(/\w+/g)));
}

/** Return the pattern of a function's definition, in Python or JavaScript. */
function definitionOf(name) {
  return new RegExp(`^ *def ${name}\\(|\\bfunction ${name}\\(|^ +(?:async )?#?${name}\\(.*\\) \\{$`, 'm');
}

function routesIn(text) {
  return [...text.matchAll(/(?:\b([A-Z]+) )?(\/api\/[\w/:]+)/g)].map(([, method, route]) => `${method} ${route}`);
}

/** Return the tables in the SQL of a text, which begins with its first keyword and has no other words. */
function tablesInSql(text) {
  const sql = /\b(?:SELECT|INSERT INTO|UPDATE) .*/.exec(text)?.[0].replace(/WHERE .*/, '') ?? '';
  return [...sql.matchAll(/\w+/g)].map(([word]) => word).filter((word) => !SQL.has(word));
}

/** Return the tables of a flowchart's cylinders: the words before a colon. */
function cylindersOf(source) {
  const labels = [...source.matchAll(/\[\("([^"]+)"\)\]/g)].map(([, label]) => label);
  return labels.flatMap((label) => label.split('<br>')).flatMap((line) => line.split(':')[0].split(', '));
}

function filesIn(text) {
  return [...text.matchAll(/[\w*./-]+\.(?:py|js|json|h5)\b/g)].map(([file]) => file);
}

/** Whether a file of the code is there, or the code names a file of versions; `*` is a model's name. */
function isThere(file) {
  return FILES.some((known) => `/${known}`.endsWith(`/${file}`)) || (/\.(json|h5)$/.test(file) && CODE.includes(`${file.replace('*', '')}"`));
}

/** Return the words that no language has: with an underscore, or a capital inside. */
function identifiersIn(text) {
  const words = [...text.matchAll(/(?<![\w*.])[A-Za-z]\w*/g)].map(([word]) => word);
  return words.filter((word) => (/_/.test(word) || /[a-z][A-Z]/.test(word)) && !USUAL_NAMES.has(word));
}

/** Return a diagram's source without its texts. */
function skeletonOf(source) {
  return linesOf(source).map((line) => line.replace(/"[^"]*"/g, '""').replace(/^(\w+-(?:->>|>>|\))\w+|Note over [\w,]+): .*/, '$1').replace(/^(participant \w+|box \w+|alt|opt|loop|par|else|and) .*/, '$1'));
}
