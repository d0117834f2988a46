-- The columns that the preset reads, with the names, types and keys of Shopware 6; all rows are invented. The first two
-- digits of an id, repeated, are its name: aa is ann.
CREATE TABLE `order` (id BINARY(16) NOT NULL, version_id BINARY(16) NOT NULL, state_id BINARY(16) NOT NULL,
  order_date_time DATETIME(3) NOT NULL, PRIMARY KEY (id, version_id));
CREATE TABLE order_customer (id BINARY(16) NOT NULL, version_id BINARY(16) NOT NULL, customer_id BINARY(16) NULL,
  order_id BINARY(16) NOT NULL, order_version_id BINARY(16) NOT NULL, PRIMARY KEY (id, version_id),
  KEY customer_id (customer_id));
CREATE TABLE order_line_item (id BINARY(16) NOT NULL, version_id BINARY(16) NOT NULL, order_id BINARY(16) NOT NULL,
  order_version_id BINARY(16) NOT NULL, product_id BINARY(16) NULL, referenced_id VARCHAR(255) NULL,
  quantity INT(11) NOT NULL, type VARCHAR(255) NULL, PRIMARY KEY (id, version_id),
  KEY order_id (order_id, order_version_id));
CREATE TABLE order_transaction (id BINARY(16) NOT NULL, version_id BINARY(16) NOT NULL, order_id BINARY(16) NOT NULL,
  order_version_id BINARY(16) NOT NULL, state_id BINARY(16) NOT NULL, PRIMARY KEY (id, version_id));
CREATE TABLE state_machine_state (id BINARY(16) NOT NULL, technical_name VARCHAR(255) NOT NULL, PRIMARY KEY (id));
CREATE TABLE customer (id BINARY(16) NOT NULL, email VARCHAR(254) NOT NULL, guest TINYINT(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (id), KEY email (email));
CREATE TABLE product (id BINARY(16) NOT NULL, version_id BINARY(16) NOT NULL, parent_id BINARY(16) NULL,
  active TINYINT unsigned NULL, product_manufacturer_id BINARY(16) NULL, product_media_id BINARY(16) NULL,
  price JSON NULL, PRIMARY KEY (id, version_id));
CREATE TABLE product_translation (product_id BINARY(16) NOT NULL, product_version_id BINARY(16) NOT NULL,
  language_id BINARY(16) NOT NULL, name VARCHAR(255) NULL, PRIMARY KEY (product_id, product_version_id, language_id));
CREATE TABLE product_manufacturer_translation (product_manufacturer_id BINARY(16) NOT NULL,
  product_manufacturer_version_id BINARY(16) NOT NULL, language_id BINARY(16) NOT NULL, name VARCHAR(255) NULL,
  PRIMARY KEY (product_manufacturer_id, product_manufacturer_version_id, language_id));
CREATE TABLE product_media (id BINARY(16) NOT NULL, version_id BINARY(16) NOT NULL, media_id BINARY(16) NOT NULL,
  PRIMARY KEY (id, version_id));
CREATE TABLE media (id BINARY(16) NOT NULL, path VARCHAR(2048) NULL, PRIMARY KEY (id));
CREATE TABLE category (id BINARY(16) NOT NULL, version_id BINARY(16) NOT NULL, level INT(11) unsigned NOT NULL DEFAULT 1,
  PRIMARY KEY (id, version_id));
CREATE TABLE category_translation (category_id BINARY(16) NOT NULL, category_version_id BINARY(16) NOT NULL,
  language_id BINARY(16) NOT NULL, name VARCHAR(255) NULL, PRIMARY KEY (category_id, category_version_id, language_id));
CREATE TABLE product_category (product_id BINARY(16) NOT NULL, product_version_id BINARY(16) NOT NULL,
  category_id BINARY(16) NOT NULL, category_version_id BINARY(16) NOT NULL,
  PRIMARY KEY (product_id, product_version_id, category_id, category_version_id));
CREATE TABLE seo_url (id BINARY(16) NOT NULL, language_id BINARY(16) NOT NULL, foreign_key BINARY(16) NOT NULL,
  route_name VARCHAR(50) NOT NULL, seo_path_info VARCHAR(750) NOT NULL, is_canonical TINYINT(1) NULL,
  is_deleted TINYINT(1) NOT NULL DEFAULT 0, PRIMARY KEY (id));
CREATE TABLE currency (id BINARY(16) NOT NULL, iso_code CHAR(3) NOT NULL, PRIMARY KEY (id));
CREATE TABLE tag (id BINARY(16) NOT NULL, name VARCHAR(255) NOT NULL, PRIMARY KEY (id));
CREATE TABLE product_tag (product_id BINARY(16) NOT NULL, product_version_id BINARY(16) NOT NULL,
  tag_id BINARY(16) NOT NULL, PRIMARY KEY (product_id, product_version_id, tag_id));

SET @live = X'0FA91CE3E96A4BC2BE4BD9CE752C3425', @draft = X'0198A0B1C2D37E4F8091A2B3C4D5E6F7',
  @english = X'2FBB5FE2E29A4D70AA5854CE7CE3E20B', @german = X'3FBB5FE2E29A4D70AA5854CE7CE3E20B';
INSERT INTO state_machine_state SELECT UNHEX(REPEAT(id, 16)), name FROM (SELECT '01' AS id, 'open' AS name
  UNION SELECT '02', 'in_progress' UNION SELECT '03', 'completed' UNION SELECT '04', 'cancelled'
  UNION SELECT '05', 'paid' UNION SELECT '06', 'refunded' UNION SELECT '07', 'refunded_partially') AS states;
-- ann has an account and was the guest ab; bob is a guest.
INSERT INTO customer SELECT UNHEX(REPEAT(id, 16)), email, guest FROM (SELECT 'aa' AS id, 'ann@example.com' AS email,
  0 AS guest UNION SELECT 'ab', 'ann@example.com', 1 UNION SELECT 'bb', 'bob@example.com', 1) AS customers;
CREATE TABLE orders_of_the_test AS SELECT '10' AS id, 'aa' AS customer, '03' AS state, '2025-01-01 10:00:00' AS moment
  -- 10 complete: pen. It is also open as a draft. 11 cancelled, 12 open and unpaid, 13 refunded: nothing
  UNION SELECT '11', 'aa', '04', '2025-01-02 10:00:00' UNION SELECT '12', 'aa', '01', '2025-01-03 10:00:00'
  UNION SELECT '13', 'aa', '03', '2025-01-04 10:00:00'
  -- 14 open and paid: ink. 15 partly refunded: pen and ink. 16 of ann as a guest: ink. 17 of bob, two variants: pen twice
  UNION SELECT '14', 'aa', '01', '2025-01-05 10:00:00' UNION SELECT '15', 'aa', '02', '2025-01-06 10:00:00'
  UNION SELECT '16', 'ab', '03', '2024-12-10 10:00:00' UNION SELECT '17', 'bb', '03', '2025-01-07 10:00:00'
  -- 18 of bob: a product that was deleted. 19 of a customer who was deleted: pen, without a user
  UNION SELECT '18', 'bb', '03', '2025-01-08 10:00:00' UNION SELECT '19', NULL, '03', '2025-01-09 10:00:00';
INSERT INTO `order` SELECT UNHEX(REPEAT(id, 16)), @live, UNHEX(REPEAT(state, 16)), moment FROM orders_of_the_test;
INSERT INTO order_customer SELECT UNHEX(REPEAT(id, 16)), @live, UNHEX(REPEAT(customer, 16)), UNHEX(REPEAT(id, 16)), @live
  FROM orders_of_the_test;
INSERT INTO order_transaction SELECT UNHEX(REPEAT(id, 16)), @live, UNHEX(REPEAT(id, 16)), @live, UNHEX(REPEAT(state, 16))
  FROM (SELECT '10' AS id, '05' AS state UNION SELECT '12', '01' UNION SELECT '13', '06' UNION SELECT '14', '05'
  UNION SELECT '15', '07') AS transactions;
INSERT INTO order_line_item SELECT UNHEX(REPEAT(id, 16)), @live, UNHEX(REPEAT(order_id, 16)), @live,
  UNHEX(REPEAT(product, 16)), REPEAT(referenced, 16), 1, type FROM (
  SELECT '20' AS id, '10' AS order_id, 'c1' AS product, 'c1' AS referenced, 'product' AS type
  UNION SELECT '21', '10', NULL, NULL, 'promotion' UNION SELECT '22', '11', 'c1', 'c1', 'product'
  UNION SELECT '23', '12', 'c1', 'c1', 'product' UNION SELECT '24', '13', 'c1', 'c1', 'product'
  UNION SELECT '25', '14', 'd1', 'd1', 'product' UNION SELECT '26', '15', 'c1', 'c1', 'product'
  UNION SELECT '27', '15', 'd1', 'd1', 'product' UNION SELECT '28', '16', 'd1', 'd1', 'product'
  UNION SELECT '29', '17', 'c2', 'c2', 'product' UNION SELECT '30', '17', 'c3', 'c3', 'product'
  UNION SELECT '31', '18', NULL, 'ee', 'product' UNION SELECT '32', '19', 'c1', 'c1', 'product') AS order_lines;
-- The administration has order 10 open.
INSERT INTO `order` SELECT id, @draft, state_id, order_date_time FROM `order` WHERE id = UNHEX(REPEAT('10', 16));
INSERT INTO order_customer SELECT id, @draft, customer_id, order_id, @draft FROM order_customer
  WHERE order_id = UNHEX(REPEAT('10', 16));
INSERT INTO order_line_item SELECT id, @draft, order_id, @draft, product_id, referenced_id, quantity, type
  FROM order_line_item WHERE order_id = UNHEX(REPEAT('10', 16));

INSERT INTO product SELECT UNHEX(REPEAT(id, 16)), @live, UNHEX(REPEAT(parent, 16)), active, UNHEX(REPEAT(maker, 16)),
  UNHEX(REPEAT(cover, 16)), price FROM (SELECT 'c1' AS id, NULL AS parent, 1 AS active, '71' AS maker, '81' AS cover,
  '{"cb7d2554b0ce847cd82f3ac9bd1c0dfca": {"net": 2.0, "gross": 2.38}}' AS price
  UNION SELECT 'c2', 'c1', 1, NULL, NULL, NULL UNION SELECT 'c3', 'c1', NULL, NULL, NULL, NULL
  UNION SELECT 'd1', NULL, 0, NULL, NULL, NULL) AS products;
INSERT INTO product SELECT id, @draft, parent_id, active, product_manufacturer_id, product_media_id, price FROM product
  WHERE id = UNHEX(REPEAT('c1', 16));
INSERT INTO product_translation VALUES (UNHEX(REPEAT('c1', 16)), @live, @english, 'Pen'),
  (UNHEX(REPEAT('c1', 16)), @live, @german, 'Stift'), (UNHEX(REPEAT('d1', 16)), @live, @english, 'Ink');
INSERT INTO product_manufacturer_translation VALUES (UNHEX(REPEAT('71', 16)), @live, @english, 'Nord');
INSERT INTO product_media VALUES (UNHEX(REPEAT('81', 16)), @live, UNHEX(REPEAT('82', 16)));
INSERT INTO media VALUES (UNHEX(REPEAT('82', 16)), 'media/pen.jpg');
INSERT INTO category VALUES (UNHEX(REPEAT('91', 16)), @live, 1), (UNHEX(REPEAT('92', 16)), @live, 2);
INSERT INTO category_translation VALUES (UNHEX(REPEAT('91', 16)), @live, @english, 'Office'),
  (UNHEX(REPEAT('92', 16)), @live, @english, 'Pens'), (UNHEX(REPEAT('92', 16)), @live, @german, 'Stifte');
INSERT INTO product_category VALUES (UNHEX(REPEAT('c1', 16)), @live, UNHEX(REPEAT('91', 16)), @live),
  (UNHEX(REPEAT('c1', 16)), @live, UNHEX(REPEAT('92', 16)), @live);
INSERT INTO seo_url VALUES (UNHEX(REPEAT('61', 16)), @english, UNHEX(REPEAT('c1', 16)), 'frontend.detail.page', 'Pen/1', 1, 0),
  (UNHEX(REPEAT('62', 16)), @english, UNHEX(REPEAT('c1', 16)), 'frontend.detail.page', 'Old-pen/1', NULL, 0);
INSERT INTO currency VALUES (X'B7D2554B0CE847CD82F3AC9BD1C0DFCA', 'EUR');
