/** Records what this process sends to MySQL, and which lines of src/ sent it. Import it before anything connects. */
import { fileURLToPath } from 'node:url';

import mysql2 from 'mysql2';
import { Model, Sequelize } from 'sequelize';

const SOURCE = new URL('../../src/', import.meta.url).href;
const METHODS = ['findAll', 'findOne', 'findByPk', 'create', 'bulkCreate', 'update', 'destroy', 'count'];

/** The different statements, as they were sent. @type {Set<string>} */
export const texts = new Set();
/** The lines of src/ that called the database or a method that does, such as `services/authService.js:103`. @type {Set<string>} */
export const lines = new Set();

Error.stackTraceLimit = 60;
for (const method of ['query', 'execute']) {
  around(mysql2.Connection.prototype, method, ([statement]) => texts.add(typeof statement === 'string' ? statement : statement.sql));
}
for (const method of ['query', 'transaction']) around(Sequelize.prototype, method);
for (const method of METHODS) around(Model, method);

function around(owner, method, before = () => {}) {
  const original = owner[method];
  owner[method] = function recorded(...args) {
    before(args);
    note();
    return original.apply(this, args);
  };
}

/** Note the lines of src/ on the stack. */
function note() {
  for (const [, file, line] of String(new Error().stack).matchAll(/(file:\/\/\/[^\s)]+?):(\d+):\d+/g)) {
    if (file.startsWith(SOURCE)) lines.add(`${fileURLToPath(file).slice(fileURLToPath(SOURCE).length)}:${line}`);
  }
}
