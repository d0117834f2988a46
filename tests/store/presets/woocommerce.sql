-- The columns that the preset reads, with the names, types and keys of WooCommerce and WordPress; all rows are invented.
CREATE TABLE wp_wc_order_stats (order_id bigint(20) unsigned NOT NULL, parent_id bigint(20) unsigned DEFAULT 0 NOT NULL,
  date_created datetime DEFAULT '0000-00-00 00:00:00' NOT NULL,
  date_created_gmt datetime DEFAULT '0000-00-00 00:00:00' NOT NULL, status varchar(200) NOT NULL,
  customer_id bigint(20) unsigned NOT NULL, PRIMARY KEY (order_id), KEY date_created (date_created),
  KEY customer_id (customer_id));
CREATE TABLE wp_wc_order_product_lookup (order_item_id bigint(20) unsigned NOT NULL,
  order_id bigint(20) unsigned NOT NULL, product_id bigint(20) unsigned NOT NULL,
  variation_id bigint(20) unsigned NOT NULL, product_qty int(11) NOT NULL,
  PRIMARY KEY (order_item_id, order_id), KEY order_id (order_id));
CREATE TABLE wp_wc_customer_lookup (customer_id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  user_id bigint(20) unsigned DEFAULT NULL, email varchar(100) NULL DEFAULT NULL,
  PRIMARY KEY (customer_id), UNIQUE KEY user_id (user_id), KEY email (email));
CREATE TABLE wp_posts (ID bigint(20) unsigned NOT NULL AUTO_INCREMENT, post_title text NOT NULL,
  post_status varchar(20) NOT NULL DEFAULT 'publish', post_name varchar(200) NOT NULL DEFAULT '',
  guid varchar(255) NOT NULL DEFAULT '', post_type varchar(20) NOT NULL DEFAULT 'post', PRIMARY KEY (ID));
CREATE TABLE wp_postmeta (meta_id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  post_id bigint(20) unsigned NOT NULL DEFAULT 0, meta_key varchar(255) DEFAULT NULL, meta_value longtext DEFAULT NULL,
  PRIMARY KEY (meta_id), KEY post_id (post_id));
CREATE TABLE wp_options (option_id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  option_name varchar(191) NOT NULL DEFAULT '', option_value longtext NOT NULL, PRIMARY KEY (option_id),
  UNIQUE KEY option_name (option_name));
CREATE TABLE wp_terms (term_id bigint(20) unsigned NOT NULL AUTO_INCREMENT, name varchar(200) NOT NULL DEFAULT '',
  slug varchar(200) NOT NULL DEFAULT '', PRIMARY KEY (term_id));
CREATE TABLE wp_term_taxonomy (term_taxonomy_id bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  term_id bigint(20) unsigned NOT NULL DEFAULT 0, taxonomy varchar(32) NOT NULL DEFAULT '',
  parent bigint(20) unsigned NOT NULL DEFAULT 0, PRIMARY KEY (term_taxonomy_id),
  UNIQUE KEY term_id_taxonomy (term_id, taxonomy));
CREATE TABLE wp_term_relationships (object_id bigint(20) unsigned NOT NULL DEFAULT 0,
  term_taxonomy_id bigint(20) unsigned NOT NULL DEFAULT 0, PRIMARY KEY (object_id, term_taxonomy_id));
CREATE TABLE wp_wc_product_meta_lookup (product_id bigint(20) NOT NULL, min_price decimal(19,4) NULL DEFAULT NULL,
  PRIMARY KEY (product_id));

-- ann is user 7 and customer 1, and was the guest 5 before; bob and cyd are guests; dan is user 2 and customer 4.
INSERT INTO wp_wc_customer_lookup VALUES (1, 7, 'ann@example.com'), (2, NULL, 'bob@example.com'),
  (3, NULL, 'cyd@example.com'), (4, 2, 'dan@example.com'), (5, NULL, 'ann@example.com');
INSERT INTO wp_wc_order_stats (order_id, parent_id, date_created, date_created_gmt, status, customer_id) VALUES
  (100, 0, '2025-01-01 00:30:00', '2024-12-31 23:30:00', 'wc-completed', 1),
  (101, 0, '2025-01-02 11:00:00', '2025-01-02 10:00:00', 'wc-completed', 2),
  (102, 0, '2025-01-03 11:00:00', '2025-01-03 10:00:00', 'wc-processing', 3),
  (103, 0, '2025-01-04 11:00:00', '2025-01-04 10:00:00', 'wc-cancelled', 1),
  (104, 100, '2025-01-05 11:00:00', '2025-01-05 10:00:00', 'wc-completed', 1),
  (105, 101, '2025-01-06 11:00:00', '2025-01-06 10:00:00', 'wc-completed', 2),
  (106, 0, '2025-01-07 11:00:00', '2025-01-07 10:00:00', 'wc-refunded', 1),
  (107, 106, '2025-01-08 11:00:00', '2025-01-08 10:00:00', 'wc-refunded', 1),
  (108, 0, '2025-01-09 11:00:00', '2025-01-09 10:00:00', 'wc-pending', 4),
  (109, 0, '2025-01-10 11:00:00', '2025-01-10 10:00:00', 'wc-completed', 4),
  (110, 109, '2025-01-11 11:00:00', '2025-01-11 10:00:00', 'wc-completed', 4),
  (111, 0, '2024-12-01 11:00:00', '2024-12-01 10:00:00', 'wc-completed', 5),
  (112, 0, '2025-01-12 11:00:00', '2025-01-12 10:00:00', 'wc-completed', 9),
  (113, 0, '2025-01-13 11:00:00', '2025-01-13 10:00:00', 'wc-completed', 4);
INSERT INTO wp_wc_order_product_lookup (order_item_id, order_id, product_id, variation_id, product_qty) VALUES
  -- 100: shirt and mug, 104 refunds the shirt: mug. 101: mug, of whose price 105 refunds a part: mug
  (1, 100, 50, 51, 1), (2, 100, 60, 0, 1), (6, 104, 50, 51, -1), (3, 101, 60, 0, 1), (7, 105, 60, 0, 0),
  -- 102: shirt. 103 cancelled: nothing. 106 wholly refunded by its status, 107 has the same order_item_id: nothing
  (4, 102, 50, 52, 1), (5, 103, 70, 0, 1), (8, 106, 80, 0, 1), (8, 107, 80, 0, -1),
  -- 108 pending: nothing. 109: of two mugs 110 refunds one, and the variant 51 but not 52: mug, shirt
  (9, 108, 60, 0, 1), (10, 109, 60, 0, 2), (11, 109, 50, 51, 1), (12, 109, 50, 52, 1),
  (13, 110, 60, 0, -1), (14, 110, 50, 51, -1),
  -- 111 of ann's guest: lamp. 112 of a customer who was deleted: mug. 113: a product that was deleted, and one unknown
  (15, 111, 80, 0, 1), (16, 112, 60, 0, 1), (17, 113, 90, 0, 1), (18, 113, 0, 0, 1);

INSERT INTO wp_posts (ID, post_title, post_status, post_name, guid, post_type) VALUES
  (50, 'Shirt', 'publish', 'shirt', 'https://shop.example/?p=50', 'product'),
  (51, 'Shirt M', 'publish', 'shirt-m', '', 'product_variation'), (60, 'Mug', 'publish', 'mug', '', 'product'),
  (70, 'Cap', 'draft', 'cap', '', 'product'), (80, 'Lamp', 'publish', 'lamp', '', 'product'),
  (90, 'Poster', 'trash', 'poster__trashed', '', 'product'),
  (99, 'shirt.jpg', 'inherit', 'shirt-jpg', 'https://shop.example/shirt.jpg', 'attachment');
INSERT INTO wp_postmeta (post_id, meta_key, meta_value) VALUES (50, '_thumbnail_id', '99'), (60, '_sku', '99');
INSERT INTO wp_options (option_name, option_value) VALUES ('woocommerce_currency', 'EUR');
INSERT INTO wp_terms VALUES (1, 'Clothes', 'clothes'), (2, 'Shirts', 'shirts'), (3, 'Nord', 'nord'),
  (4, 'summer', 'summer'), (5, 'exclude-from-catalog', 'exclude-from-catalog');
INSERT INTO wp_term_taxonomy (term_taxonomy_id, term_id, taxonomy, parent) VALUES (11, 1, 'product_cat', 0),
  (12, 2, 'product_cat', 1), (13, 3, 'product_brand', 0), (14, 4, 'product_tag', 0), (15, 5, 'product_visibility', 0);
INSERT INTO wp_term_relationships VALUES (50, 11), (50, 12), (50, 13), (50, 14), (80, 15), (60, 11);
INSERT INTO wp_wc_product_meta_lookup VALUES (50, 19.9), (60, NULL), (80, 40);
