-- The columns that the preset reads, with the names, types and keys of PrestaShop; all rows are invented.
CREATE TABLE ps_orders (id_order int(10) unsigned NOT NULL AUTO_INCREMENT, id_customer int(10) unsigned NOT NULL,
  current_state int(10) unsigned NOT NULL, date_add datetime NOT NULL, PRIMARY KEY (id_order),
  KEY id_customer (id_customer));
CREATE TABLE ps_order_detail (id_order_detail int(10) unsigned NOT NULL AUTO_INCREMENT,
  id_order int(10) unsigned NOT NULL, product_id int(10) unsigned NOT NULL,
  product_attribute_id int(10) unsigned DEFAULT NULL, product_quantity int(10) unsigned NOT NULL DEFAULT 0,
  product_quantity_return int(10) unsigned NOT NULL DEFAULT 0,
  product_quantity_refunded int(10) unsigned NOT NULL DEFAULT 0, PRIMARY KEY (id_order_detail),
  KEY order_detail_order (id_order));
CREATE TABLE ps_order_state (id_order_state int(10) unsigned NOT NULL AUTO_INCREMENT,
  logable tinyint(1) NOT NULL DEFAULT 0, paid tinyint(1) unsigned NOT NULL DEFAULT 0, PRIMARY KEY (id_order_state));
CREATE TABLE ps_customer (id_customer int(10) unsigned NOT NULL AUTO_INCREMENT, email varchar(255) NOT NULL,
  is_guest tinyint(1) NOT NULL DEFAULT 0, deleted tinyint(1) NOT NULL DEFAULT 0, PRIMARY KEY (id_customer),
  KEY customer_email (email));
CREATE TABLE ps_product (id_product int(10) unsigned NOT NULL AUTO_INCREMENT, id_manufacturer int(10) unsigned NULL,
  id_category_default int(10) unsigned NULL, price decimal(20,6) NOT NULL DEFAULT '0.000000',
  active tinyint(1) unsigned NOT NULL DEFAULT 0, PRIMARY KEY (id_product));
CREATE TABLE ps_product_lang (id_product int(10) unsigned NOT NULL, id_shop int(11) unsigned NOT NULL DEFAULT 1,
  id_lang int(10) unsigned NOT NULL, link_rewrite varchar(128) NOT NULL, name varchar(128) NOT NULL,
  PRIMARY KEY (id_product, id_shop, id_lang));
CREATE TABLE ps_category_lang (id_category int(10) unsigned NOT NULL, id_shop int(11) unsigned NOT NULL DEFAULT 1,
  id_lang int(10) unsigned NOT NULL, link_rewrite varchar(128) NOT NULL, PRIMARY KEY (id_category, id_shop, id_lang));
CREATE TABLE ps_manufacturer (id_manufacturer int(10) unsigned NOT NULL AUTO_INCREMENT, name varchar(64) NOT NULL,
  PRIMARY KEY (id_manufacturer));
CREATE TABLE ps_image (id_image int(10) unsigned NOT NULL AUTO_INCREMENT, id_product int(10) unsigned NOT NULL,
  cover tinyint(1) unsigned NULL DEFAULT NULL, PRIMARY KEY (id_image));
CREATE TABLE ps_currency (id_currency int(10) unsigned NOT NULL AUTO_INCREMENT, iso_code varchar(3) NOT NULL,
  PRIMARY KEY (id_currency));
CREATE TABLE ps_configuration (id_configuration int(10) unsigned NOT NULL AUTO_INCREMENT, name varchar(254) NOT NULL,
  value text, PRIMARY KEY (id_configuration));
CREATE TABLE ps_tag (id_tag int(10) unsigned NOT NULL AUTO_INCREMENT, name varchar(32) NOT NULL, PRIMARY KEY (id_tag));
CREATE TABLE ps_product_tag (id_product int(10) unsigned NOT NULL, id_tag int(10) unsigned NOT NULL,
  PRIMARY KEY (id_product, id_tag));

INSERT INTO ps_order_state (id_order_state, logable, paid) VALUES (1, 0, 0), (2, 1, 1), (5, 1, 1), (6, 0, 0), (7, 0, 0),
  (9, 0, 1), (13, 0, 0);
-- ann is 3 and was the guest 4 before; bob is the guest 5; cyd's account 6 was deleted, so her guest 7 stays a guest.
INSERT INTO ps_customer VALUES (3, 'ann@example.com', 0, 0), (4, 'ann@example.com', 1, 0), (5, 'bob@example.com', 1, 0),
  (6, 'cyd@example.com', 0, 1), (7, 'cyd@example.com', 1, 0);
INSERT INTO ps_orders (id_order, id_customer, current_state, date_add) VALUES
  -- 1 delivered: shirt. 2 cancelled, 3 refunded, 4 awaits a cheque: nothing. 5 paid, waits for goods: mug
  (1, 3, 5, '2025-01-01 10:00:00'), (2, 3, 6, '2025-01-02 10:00:00'), (3, 3, 7, '2025-01-03 10:00:00'),
  (4, 3, 1, '2025-01-04 10:00:00'), (5, 3, 9, '2025-01-05 10:00:00'),
  -- 6: of two shirts one was refunded, the mug came back, of three caps one was refunded and two came back: shirt
  (6, 3, 2, '2025-01-06 10:00:00'),
  -- 7 of ann as a guest: cap. 8 of bob, two variants: shirt, twice. 9 of a deleted account, and 10 of her guest: mug
  (7, 4, 2, '2024-12-10 10:00:00'), (8, 5, 2, '2025-01-08 10:00:00'), (9, 6, 2, '2025-01-09 10:00:00'),
  (10, 7, 5, '2025-01-10 10:00:00'),
  -- 11: a product that was deleted
  (11, 5, 5, '2025-01-11 10:00:00');
INSERT INTO ps_order_detail (id_order, product_id, product_attribute_id, product_quantity, product_quantity_return,
  product_quantity_refunded) VALUES (1, 1, 11, 1, 0, 0), (2, 2, 0, 1, 0, 0), (3, 2, 0, 1, 0, 1), (4, 2, 0, 1, 0, 0),
  (5, 2, 0, 1, 0, 0), (6, 1, 12, 2, 0, 1), (6, 2, 0, 1, 1, 0), (6, 3, 0, 3, 2, 1), (7, 3, 0, 1, 0, 0),
  (8, 1, 11, 1, 0, 0), (8, 1, 12, 1, 0, 0), (9, 2, 0, 1, 0, 0), (10, 2, 0, 1, 0, 0), (11, 99, 0, 1, 0, 0);

INSERT INTO ps_product VALUES (1, 8, 4, 19.9, 1), (2, 0, 5, 5, 1), (3, NULL, NULL, 7.5, 0);
INSERT INTO ps_product_lang VALUES (1, 1, 1, 'shirt', 'Shirt'), (1, 1, 2, 'chemise', 'Chemise'), (2, 1, 1, 'mug', 'Mug'),
  (3, 1, 2, 'casquette', 'Casquette');
INSERT INTO ps_category_lang VALUES (4, 1, 1, 'clothes'), (4, 1, 2, 'vetements');
INSERT INTO ps_manufacturer VALUES (8, 'Nord');
INSERT INTO ps_image VALUES (41, 1, NULL), (42, 1, 1);
INSERT INTO ps_currency VALUES (1, 'USD'), (2, 'EUR');
INSERT INTO ps_configuration (name, value) VALUES ('PS_LANG_DEFAULT', '1'), ('PS_CURRENCY_DEFAULT', '2');
INSERT INTO ps_tag VALUES (1, 'summer'), (2, 'cotton');
INSERT INTO ps_product_tag VALUES (1, 1), (1, 2);
