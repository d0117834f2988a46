-- The columns that the preset reads, with the names, types and keys of Vendure 3; all rows are invented.
CREATE TABLE "order" (id serial PRIMARY KEY, type varchar NOT NULL DEFAULT 'Regular', state varchar NOT NULL,
  active boolean NOT NULL DEFAULT true, "orderPlacedAt" timestamp NULL, "customerId" integer NULL);
CREATE INDEX "IDX_order_customer" ON "order" ("customerId");
CREATE TABLE order_line (id serial PRIMARY KEY, quantity integer NOT NULL,
  "orderPlacedQuantity" integer NOT NULL DEFAULT 0, "productVariantId" integer NOT NULL, "orderId" integer NULL);
CREATE INDEX "IDX_order_line_order" ON order_line ("orderId");
CREATE TABLE product_variant (id serial PRIMARY KEY, "deletedAt" timestamp NULL, enabled boolean NOT NULL DEFAULT true,
  "productId" integer NULL);
CREATE TABLE product_variant_price (id serial PRIMARY KEY, price integer NOT NULL, "channelId" integer NULL,
  "currencyCode" varchar NOT NULL, "variantId" integer NULL);
CREATE TABLE product (id serial PRIMARY KEY, "deletedAt" timestamp NULL, enabled boolean NOT NULL DEFAULT true,
  "featuredAssetId" integer NULL);
CREATE TABLE product_translation (id serial PRIMARY KEY, "languageCode" varchar NOT NULL, name varchar NOT NULL,
  slug varchar NOT NULL, "baseId" integer NULL);
CREATE TABLE asset (id serial PRIMARY KEY, preview varchar NOT NULL);
CREATE TABLE collection (id serial PRIMARY KEY, "isRoot" boolean NOT NULL DEFAULT false, position integer NOT NULL,
  "isPrivate" boolean NOT NULL DEFAULT false);
CREATE TABLE collection_translation (id serial PRIMARY KEY, "languageCode" varchar NOT NULL, name varchar NOT NULL,
  slug varchar NOT NULL, "baseId" integer NULL);
CREATE TABLE collection_product_variants_product_variant ("collectionId" integer NOT NULL,
  "productVariantId" integer NOT NULL, PRIMARY KEY ("collectionId", "productVariantId"));
CREATE TABLE facet (id serial PRIMARY KEY, code varchar NOT NULL UNIQUE);
CREATE TABLE facet_value (id serial PRIMARY KEY, code varchar NOT NULL, "facetId" integer NOT NULL);
CREATE TABLE facet_value_translation (id serial PRIMARY KEY, "languageCode" varchar NOT NULL, name varchar NOT NULL,
  "baseId" integer NULL);
CREATE TABLE product_facet_values_facet_value ("productId" integer NOT NULL, "facetValueId" integer NOT NULL,
  PRIMARY KEY ("productId", "facetValueId"));

INSERT INTO "order" (id, type, state, active, "orderPlacedAt", "customerId") VALUES
  -- 1 delivered: laptop. 2 cancelled, 3 a cart, 4 a draft: nothing
  (1, 'Regular', 'Delivered', false, '2025-01-01 10:00:00', 7), (2, 'Regular', 'Cancelled', false, '2025-01-02 10:00:00', 7),
  (3, 'Regular', 'AddingItems', true, NULL, 7), (4, 'Regular', 'Draft', false, NULL, 7),
  -- 5: of two mugs one was cancelled, the lamp wholly; a cap was added later: mug, cap
  (5, 'Regular', 'PartiallyShipped', false, '2025-01-05 10:00:00', 7),
  -- 6 of a guest, two variants of the laptop: laptop, twice. 7 paid: mug. 8 and 9 of one order over a seller: lamp, once
  (6, 'Regular', 'PaymentSettled', false, '2025-01-06 10:00:00', 8),
  (7, 'Regular', 'PaymentAuthorized', false, '2025-01-07 10:00:00', 9),
  (8, 'Aggregate', 'Shipped', false, '2025-01-08 10:00:00', 9), (9, 'Seller', 'Shipped', false, '2025-01-08 10:00:00', 9),
  -- 10 without a customer: mug, without a user. 11 being changed: a deleted product
  (10, 'Regular', 'Delivered', false, '2025-01-10 10:00:00', NULL),
  (11, 'Regular', 'Modifying', false, '2025-01-11 10:00:00', 9);
INSERT INTO order_line ("orderId", "productVariantId", quantity, "orderPlacedQuantity") VALUES (1, 11, 1, 1),
  (2, 11, 0, 1), (3, 21, 1, 0), (4, 21, 1, 0), (5, 21, 1, 2), (5, 31, 0, 1), (5, 41, 1, 0), (6, 11, 1, 1), (6, 12, 1, 1),
  (7, 21, 1, 1), (8, 31, 1, 1), (9, 31, 1, 1), (10, 21, 1, 1), (11, 51, 1, 1);

INSERT INTO product (id, "deletedAt", enabled, "featuredAssetId") VALUES (1, NULL, true, 3), (2, NULL, true, NULL),
  (3, NULL, true, NULL), (4, NULL, false, NULL), (5, '2025-02-01', true, NULL);
INSERT INTO asset VALUES (3, 'https://shop.example/laptop.jpg');
INSERT INTO product_translation ("languageCode", name, slug, "baseId") VALUES ('de', 'Klapprechner', 'klapprechner', 1),
  ('en', 'Laptop', 'laptop', 1), ('vi', 'Cốc', 'coc', 2), ('en', 'Lamp', 'lamp', 3), ('en', 'Cap', 'cap', 4),
  ('en', 'Poster', 'poster', 5);
INSERT INTO product_variant (id, "productId", enabled, "deletedAt") VALUES (11, 1, true, NULL), (12, 1, true, NULL),
  (13, 1, true, '2025-01-01'), (14, 1, false, NULL), (21, 2, true, NULL), (31, 3, true, NULL), (41, 4, true, NULL),
  (51, 5, true, NULL);
INSERT INTO product_variant_price (price, "channelId", "currencyCode", "variantId") VALUES (129900, 1, 'USD', 11),
  (119950, 1, 'USD', 12), (99, 2, 'EUR', 11), (50, 1, 'USD', 13), (60, 1, 'USD', 14), (550, 1, 'USD', 21);
INSERT INTO collection (id, "isRoot", position, "isPrivate") VALUES (1, true, 0, false), (2, false, 2, false),
  (3, false, 1, false), (4, false, 0, true);
INSERT INTO collection_translation ("languageCode", name, slug, "baseId") VALUES ('en', 'Computers', 'computers', 2),
  ('en', 'Laptops', 'laptops', 3), ('en', 'Staff', 'staff', 4);
INSERT INTO collection_product_variants_product_variant VALUES (1, 11), (2, 11), (3, 12), (4, 21);
INSERT INTO facet VALUES (1, 'brand'), (2, 'colour');
INSERT INTO facet_value VALUES (1, 'nord', 1), (2, 'red', 2);
INSERT INTO facet_value_translation ("languageCode", name, "baseId") VALUES ('en', 'Nord', 1), ('en', 'Red', 2);
INSERT INTO product_facet_values_facet_value VALUES (1, 1), (1, 2), (2, 2);
