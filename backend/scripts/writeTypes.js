/**
 * Writes src/services/contract.d.ts, the contract as TypeScript, from docs/schema/: `npm run types`.
 *
 * A test compares the file with what this would write.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import { compile } from 'json-schema-to-typescript';

import { commandLine } from '../src/commandLine.js';

export const CONTRACT = new URL('../src/services/contract.d.ts', import.meta.url);

const SCHEMAS = new URL('../../docs/schema/', import.meta.url);
const OPTIONS = {
  additionalProperties: false, // "ignore what you do not know" is no reason to let misspelt names pass
  bannerComment: '/** The lines of docs/PROTOCOL.md as types. Written by `npm run types` from docs/schema/; changes belong there. */',
  style: { singleQuote: true, printWidth: 140 },
};

/** Return the text of the declarations. */
export async function contract() {
  const { $defs: asked, allOf: _, ...request } = withNames(schema('request.json')); // `allOf` is what needs what; types are told apart by hand
  const { $defs: told, anyOf: lines } = withNames(schema('response.json'));
  const all = {
    description: 'Whatever is written or read.',
    anyOf: [{ $ref: '#/$defs/Request' }, ...lines],
    $defs: { Request: request, ...asked, ...told },
  };
  return compile(all, 'Message', OPTIONS);
}

function schema(name) {
  return JSON.parse(readFileSync(new URL(name, SCHEMAS), 'utf8'));
}

/** Return a schema whose references have nothing beside them: with a description, one would be written out instead of named. */
function withNames(schema) {
  if (Array.isArray(schema)) return schema.map(withNames);
  if (typeof schema !== 'object' || schema === null) return schema;
  const { $ref, ...rest } = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, withNames(value)]));
  if ($ref === undefined) return rest;
  return Object.keys(rest).length === 0 ? { $ref } : { ...rest, allOf: [{ $ref }] };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  commandLine('Write src/services/contract.d.ts, the contract as TypeScript, from docs/schema/: node scripts/writeTypes.js');
  writeFileSync(CONTRACT, await contract());
  console.log('wrote src/services/contract.d.ts');
}
