/** The Sequelize models of the default schema. */
import { DataTypes } from 'sequelize';

import { ownPlace } from '../config/database.js';

/** @import { ModelStatic, Sequelize } from 'sequelize' */

/**
 * The models by name. Rows are mostly read with `raw: true`, as plain objects, which Sequelize's types do not tell.
 *
 * @typedef {Record<'User' | 'Product' | 'Productdetail' | 'Interaction' | 'Comment' | 'Recommendation' | 'ModelRun' | 'GuestEvent' | 'ListEvent', ModelStatic<any>>} Models
 */

const { BIGINT, DATE, DATEONLY, DOUBLE, INTEGER, STRING, TEXT } = DataTypes;
const SECRET = 'password'; // a hash, but never shown

/**
 * Define the models over the tables of recsys/store/migrations. The migrations create the tables, never `sync()`.
 *
 * @param {Sequelize} sequelize
 * @param {string} [cachePrefix] What the names of the tables of the cache, `recommendations` and `model_runs`, begin with.
 * @returns {Models}
 */
export function defineModels(sequelize, cachePrefix = '') {
  const define = (name, tableName, columns, options) => sequelize.define(name, columns, { tableName, ...options });
  const schema = ownPlace(sequelize) || undefined; // of our own tables
  const User = define('User', 'Users', {
    ...named('externalId', STRING(128)),
    ...named('email firstName lastName address', STRING),
    ...named(SECRET, STRING),
    ...named('genderId phonenumber roleId statusId', STRING(50)),
    dob: DATEONLY,
  });
  User.prototype.toJSON = function toJSON() {
    const { [SECRET]: _, ...shown } = this.get({ plain: true });
    return shown;
  };
  const Product = define('Product', 'Products', {
    ...named('externalId', STRING(128)),
    name: { type: STRING, allowNull: false },
    ...named('contentHTML contentMarkdown', TEXT),
    statusId: { type: STRING(50), allowNull: false, defaultValue: 'S1' },
    ...named('categoryId brandId', STRING(50)),
    view: { type: INTEGER, allowNull: false, defaultValue: 0 },
    ...named('madeby material', STRING),
  });
  const Productdetail = define('Productdetail', 'Productdetails', {
    productId: { type: BIGINT, allowNull: false },
    nameDetail: STRING,
    description: TEXT,
    ...named('originalPrice discountPrice', DOUBLE),
    stock: INTEGER,
  });
  const Interaction = define(
    'Interaction',
    'Interactions',
    {
      interId: { type: BIGINT, primaryKey: true, autoIncrement: true },
      userId: { type: BIGINT, allowNull: false },
      productId: { type: BIGINT, allowNull: false },
      actionCode: { type: STRING(50), allowNull: false },
      device_type: STRING(50),
      timestamp: { type: DATE, allowNull: false, defaultValue: DataTypes.NOW },
      eventId: { type: STRING(128), unique: true },
    },
    { timestamps: false },
  );
  const GuestEvent = define(
    'GuestEvent',
    'rec_guest_events',
    {
      guestId: { type: STRING(32), allowNull: false },
      productId: { type: BIGINT, allowNull: false },
      actionCode: { type: STRING(50), allowNull: false },
      device_type: STRING(50),
      timestamp: { type: DATE, allowNull: false },
      eventId: { type: STRING(128), allowNull: false, unique: true },
    },
    { timestamps: false, schema },
  );
  const ListEvent = define(
    'ListEvent',
    'rec_user_interactions',
    {
      interaction_id: { type: STRING(128), allowNull: false, unique: true },
      user_id: { type: STRING(512), allowNull: false },
      ...named('session_id product_id', STRING(512)),
      interaction_type: { type: STRING(50), allowNull: false },
      ...named('event_id recommendation_id', STRING(128)),
      position: INTEGER,
      occurred_at: { type: BIGINT, allowNull: false },
      pending: { type: INTEGER, allowNull: false },
    },
    { timestamps: false, schema },
  );
  const Comment = define('Comment', 'Comments', { content: TEXT, ...named('parentId productId userId blogId', BIGINT), star: INTEGER });
  const Recommendation = define(
    'Recommendation',
    `${cachePrefix}recommendations`,
    {
      userId: { type: BIGINT, allowNull: false },
      productId: { type: BIGINT, allowNull: false },
      modelName: { type: STRING(50), allowNull: false },
      score: { type: DOUBLE, allowNull: false, defaultValue: 0 },
      details: TEXT,
    },
    { schema },
  );
  const ModelRun = define(
    'ModelRun',
    `${cachePrefix}model_runs`,
    {
      userId: { type: BIGINT, allowNull: false },
      modelName: { type: STRING(50), allowNull: false },
      ...named('metricsJson recommendationsJson', TEXT),
    },
    { schema },
  );
  const models = { User, Product, Productdetail, Interaction, Comment, Recommendation, ModelRun, GuestEvent, ListEvent };
  for (const model of Object.values(models)) storeSeconds(model);
  return models;
}

function named(names, type) {
  return Object.fromEntries(names.split(' ').map((name) => [name, { type }]));
}

function storeSeconds(model) {
  for (const { type } of Object.values(model.rawAttributes)) if (type.key === DATE.key) type._stringify = inSeconds;
}

/** Write moments as Python and CURRENT_TIMESTAMP do, so that SQLite sorts their texts in the order of time. */
function inSeconds(moment) {
  return new Date(moment).toISOString().slice(0, 'YYYY-MM-DDTHH:mm:ss'.length).replace('T', ' ');
}
