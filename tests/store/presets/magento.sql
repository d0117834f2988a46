-- The columns that the preset reads, with the names, types and keys of Magento 2; all rows are invented.
CREATE TABLE sales_order (entity_id int(10) unsigned NOT NULL AUTO_INCREMENT, state varchar(32) DEFAULT NULL,
  status varchar(32) DEFAULT NULL, customer_id int(10) unsigned DEFAULT NULL, customer_email varchar(128) DEFAULT NULL,
  created_at timestamp NOT NULL DEFAULT current_timestamp(), PRIMARY KEY (entity_id),
  KEY SALES_ORDER_CUSTOMER_ID (customer_id));
CREATE TABLE sales_order_item (item_id int(10) unsigned NOT NULL AUTO_INCREMENT,
  order_id int(10) unsigned NOT NULL DEFAULT 0, parent_item_id int(10) unsigned DEFAULT NULL,
  product_id int(10) unsigned DEFAULT NULL, qty_ordered decimal(12,4) DEFAULT 0.0000,
  qty_refunded decimal(12,4) DEFAULT 0.0000, qty_canceled decimal(12,4) DEFAULT 0.0000, PRIMARY KEY (item_id),
  KEY SALES_ORDER_ITEM_ORDER_ID (order_id));
CREATE TABLE customer_entity (entity_id int(10) unsigned NOT NULL AUTO_INCREMENT,
  website_id smallint(5) unsigned DEFAULT NULL, email varchar(255) DEFAULT NULL, PRIMARY KEY (entity_id),
  UNIQUE KEY CUSTOMER_ENTITY_EMAIL_WEBSITE_ID (email, website_id));
CREATE TABLE eav_attribute (attribute_id smallint(5) unsigned NOT NULL AUTO_INCREMENT,
  entity_type_id smallint(5) unsigned NOT NULL DEFAULT 0, attribute_code varchar(255) NOT NULL,
  PRIMARY KEY (attribute_id));
CREATE TABLE eav_attribute_option_value (value_id int(10) unsigned NOT NULL AUTO_INCREMENT,
  option_id int(10) unsigned NOT NULL DEFAULT 0, store_id smallint(5) unsigned NOT NULL DEFAULT 0,
  value varchar(255) DEFAULT NULL, PRIMARY KEY (value_id));
CREATE TABLE catalog_product_entity (entity_id int(10) unsigned NOT NULL AUTO_INCREMENT, PRIMARY KEY (entity_id));
CREATE TABLE catalog_product_entity_int (value_id int(11) NOT NULL AUTO_INCREMENT,
  attribute_id smallint(5) unsigned NOT NULL, store_id smallint(5) unsigned NOT NULL,
  entity_id int(10) unsigned NOT NULL, value int(11) DEFAULT NULL, PRIMARY KEY (value_id),
  UNIQUE KEY one (entity_id, attribute_id, store_id));
CREATE TABLE catalog_product_entity_varchar (value_id int(11) NOT NULL AUTO_INCREMENT,
  attribute_id smallint(5) unsigned NOT NULL, store_id smallint(5) unsigned NOT NULL,
  entity_id int(10) unsigned NOT NULL, value varchar(255) DEFAULT NULL, PRIMARY KEY (value_id),
  UNIQUE KEY one (entity_id, attribute_id, store_id));
CREATE TABLE catalog_category_entity (entity_id int(10) unsigned NOT NULL AUTO_INCREMENT,
  level int(11) NOT NULL DEFAULT 0, PRIMARY KEY (entity_id));
CREATE TABLE catalog_category_entity_varchar (value_id int(11) NOT NULL AUTO_INCREMENT,
  attribute_id smallint(5) unsigned NOT NULL, store_id smallint(5) unsigned NOT NULL,
  entity_id int(10) unsigned NOT NULL, value varchar(255) DEFAULT NULL, PRIMARY KEY (value_id));
CREATE TABLE catalog_category_product (entity_id int(11) NOT NULL AUTO_INCREMENT,
  category_id int(10) unsigned NOT NULL, product_id int(10) unsigned NOT NULL,
  PRIMARY KEY (entity_id, category_id, product_id));
CREATE TABLE catalog_product_index_price (entity_id int(10) unsigned NOT NULL, customer_group_id int(10) unsigned NOT NULL,
  website_id smallint(5) unsigned NOT NULL, min_price decimal(20,6) DEFAULT NULL,
  PRIMARY KEY (entity_id, customer_group_id, website_id));
CREATE TABLE core_config_data (config_id int(10) unsigned NOT NULL AUTO_INCREMENT, scope varchar(8) NOT NULL DEFAULT 'default',
  scope_id int(11) NOT NULL DEFAULT 0, path varchar(255) NOT NULL, value text DEFAULT NULL, PRIMARY KEY (config_id));

-- ann is customer 3 and was a guest before; bob and cyd are guests; customer 4 was deleted.
INSERT INTO customer_entity VALUES (3, 1, 'ann@example.com');
INSERT INTO sales_order (entity_id, state, status, customer_id, customer_email, created_at) VALUES
  -- 1 complete: shirt, one row of its variant. 2 cancelled, 3 closed, 4 not paid, 5 on hold: nothing
  (1, 'complete', 'complete', 3, 'ann@example.com', '2025-01-01 10:00:00'),
  (2, 'canceled', 'canceled', 3, 'ann@example.com', '2025-01-02 10:00:00'),
  (3, 'closed', 'closed', 3, 'ann@example.com', '2025-01-03 10:00:00'),
  (4, 'new', 'pending', 3, 'ann@example.com', '2025-01-04 10:00:00'),
  (5, 'holded', 'holded', 3, 'ann@example.com', '2025-01-05 10:00:00'),
  -- 6: of two mugs one was refunded, the cap wholly, of two bags one was cancelled and one refunded: mug
  (6, 'complete', 'complete', 3, 'ann@example.com', '2025-01-06 10:00:00'),
  -- 7 and 8 of the guest bob: a bundle of two parts; mug. 9 of ann as a guest: cap. 10 of a guest without an address: mug
  (7, 'processing', 'being_packed', NULL, 'bob@example.com', '2025-01-07 10:00:00'),
  (8, 'complete', 'complete', NULL, 'bob@example.com', '2025-01-08 10:00:00'),
  (9, 'complete', 'complete', NULL, 'ann@example.com', '2024-12-10 10:00:00'),
  (10, 'complete', 'complete', NULL, NULL, '2025-01-10 10:00:00'),
  -- 11 of a deleted customer: mug, and a product that was deleted
  (11, 'complete', 'complete', 4, 'dan@example.com', '2025-01-11 10:00:00');
INSERT INTO sales_order_item (item_id, order_id, parent_item_id, product_id, qty_ordered, qty_refunded, qty_canceled) VALUES
  (1, 1, NULL, 10, 1, 0, 0), (2, 1, 1, 11, 1, 0, 0), (3, 2, NULL, 20, 1, 0, 1), (4, 3, NULL, 20, 1, 1, 0),
  (5, 4, NULL, 20, 1, 0, 0), (6, 5, NULL, 20, 1, 0, 0), (7, 6, NULL, 20, 2, 1, NULL), (8, 6, NULL, 30, 1, 1, 0),
  (9, 6, NULL, 40, 2, 1, 1), (10, 7, NULL, 50, 1, 0, 0), (11, 7, 10, 20, 1, 0, 0), (12, 7, 10, 30, 1, 0, 0),
  (13, 8, NULL, 20, 1, 0, 0), (14, 9, NULL, 30, 1, 0, 0), (15, 10, NULL, 20, 1, 0, 0), (16, 11, NULL, 20, 1, 0, 0),
  (17, 11, NULL, NULL, 1, 0, 0);

INSERT INTO catalog_product_entity VALUES (10), (11), (20), (30), (40), (50);
INSERT INTO eav_attribute (attribute_id, entity_type_id, attribute_code) VALUES (45, 3, 'name'), (73, 4, 'name'),
  (83, 4, 'manufacturer'), (88, 4, 'small_image'), (97, 4, 'status'), (99, 4, 'visibility'), (121, 4, 'url_key');
INSERT INTO eav_attribute_option_value (option_id, store_id, value) VALUES (5, 0, 'Nord'), (5, 1, 'Nord DE');
INSERT INTO catalog_product_entity_int (attribute_id, store_id, entity_id, value) VALUES (97, 0, 10, 1), (99, 0, 10, 4),
  (83, 0, 10, 5), (97, 0, 11, 1), (99, 0, 11, 1), (97, 0, 20, 1), (99, 0, 20, 4), (97, 1, 20, 2), (97, 0, 30, 2),
  (99, 0, 30, 4), (97, 0, 40, 1), (99, 0, 40, 2);
INSERT INTO catalog_product_entity_varchar (attribute_id, store_id, entity_id, value) VALUES (73, 0, 10, 'Shirt'),
  (73, 1, 10, 'Hemd'), (121, 0, 10, 'shirt'), (88, 0, 10, '/s/h/shirt.jpg'), (73, 0, 20, 'Mug'), (121, 0, 20, 'mug'),
  (88, 0, 20, 'no_selection'), (73, 0, 30, 'Cap');
INSERT INTO catalog_category_entity VALUES (1, 0), (2, 1), (3, 2), (4, 3);
INSERT INTO catalog_category_entity_varchar (attribute_id, store_id, entity_id, value) VALUES (45, 0, 2, 'Default Category'),
  (45, 0, 3, 'Clothes'), (45, 0, 4, 'Shirts'), (45, 1, 4, 'Hemden');
INSERT INTO catalog_category_product (category_id, product_id) VALUES (2, 10), (3, 10), (4, 10), (2, 20);
INSERT INTO catalog_product_index_price VALUES (10, 0, 1, 19.9), (10, 1, 1, 17), (20, 0, 2, 6), (20, 0, 1, 5);
INSERT INTO core_config_data (scope, scope_id, path, value) VALUES ('websites', 1, 'currency/options/base', 'USD'),
  ('default', 0, 'currency/options/base', 'EUR');
