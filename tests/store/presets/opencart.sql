-- The columns that the preset reads, with the names, types and keys of OpenCart 4; all rows are invented.
CREATE TABLE oc_order (order_id int(11) AUTO_INCREMENT, customer_id int(11) DEFAULT 0,
  email varchar(96), order_status_id int(11) DEFAULT 0, date_added datetime,
  PRIMARY KEY (order_id));
CREATE TABLE oc_order_product (order_product_id int(11) AUTO_INCREMENT, order_id int(11),
  product_id int(11), master_id int(11), quantity int(4), PRIMARY KEY (order_product_id),
  KEY order_id (order_id));
CREATE TABLE oc_return (return_id int(11) AUTO_INCREMENT, order_id int(11),
  product_id int(11), quantity int(4), return_action_id int(11),
  return_status_id int(11), PRIMARY KEY (return_id));
CREATE TABLE oc_customer (customer_id int(11) AUTO_INCREMENT, email varchar(96),
  PRIMARY KEY (customer_id), KEY email (email));
CREATE TABLE oc_product (product_id int(11) AUTO_INCREMENT, master_id int(11) DEFAULT 0,
  image varchar(255), manufacturer_id int(11), price decimal(15,4) DEFAULT '0.0000',
  date_available date, status tinyint(1) DEFAULT 0, PRIMARY KEY (product_id));
CREATE TABLE oc_product_description (product_id int(11), language_id int(11),
  name varchar(255), tag text, PRIMARY KEY (product_id, language_id));
CREATE TABLE oc_product_to_category (product_id int(11), category_id int(11),
  PRIMARY KEY (product_id, category_id));
CREATE TABLE oc_category_description (category_id int(11), language_id int(11),
  name varchar(255), PRIMARY KEY (category_id, language_id));
CREATE TABLE oc_category_path (category_id int(11), path_id int(11), level int(11),
  PRIMARY KEY (category_id, path_id));
CREATE TABLE oc_manufacturer (manufacturer_id int(11) AUTO_INCREMENT, name varchar(64),
  PRIMARY KEY (manufacturer_id));
CREATE TABLE oc_seo_url (seo_url_id int(11) AUTO_INCREMENT, store_id int(11),
  language_id int(11), `key` varchar(64), `value` varchar(255), keyword varchar(768),
  PRIMARY KEY (seo_url_id));
CREATE TABLE oc_setting (setting_id int(11) AUTO_INCREMENT, store_id int(11) DEFAULT 0,
  `key` varchar(128), `value` mediumtext, PRIMARY KEY (setting_id));

-- ann is customer 3 and was a guest before; dan's account 4 was deleted; bob and cyd are guests.
INSERT INTO oc_customer VALUES (3, 'ann@example.com');
INSERT INTO oc_order (order_id, customer_id, email, order_status_id, date_added) VALUES
  -- 1 complete: iPhone. 2 never confirmed, 5 refunded, 6 cancelled, 7 pending: nothing
  (1, 3, 'ann@example.com', 5, '2025-01-01 10:00:00'), (2, 3, 'ann@example.com', 0, '2025-01-02 10:00:00'),
  (5, 3, 'ann@example.com', 11, '2025-01-05 10:00:00'), (6, 3, 'ann@example.com', 7, '2025-01-06 10:00:00'),
  (7, 3, 'ann@example.com', 1, '2025-01-07 10:00:00'),
  -- 3 and 9 of the guest bob, whose order 8 was never confirmed: iPhone, iMac. 4 of cyd: shirt, by two variants
  (3, 0, 'bob@example.com', 3, '2025-01-03 10:00:00'), (8, 0, 'bob@example.com', 0, '2025-01-02 12:00:00'),
  (9, 0, 'bob@example.com', 5, '2025-01-09 10:00:00'), (4, 0, 'cyd@example.com', 5, '2025-01-04 10:00:00'),
  -- 10 of ann as a guest: iMac. 11 of a deleted customer: iPhone
  (10, 0, 'ann@example.com', 5, '2024-12-10 10:00:00'), (11, 4, 'dan@example.com', 5, '2025-01-11 10:00:00'),
  -- 12: of two shirts one came back, the iPhone came back, the iMac was replaced, the return of the mug is pending
  (12, 3, 'ann@example.com', 5, '2025-01-12 10:00:00');
INSERT INTO oc_order_product (order_id, product_id, master_id, quantity) VALUES (1, 40, 0, 1), (2, 41, 0, 1),
  (3, 40, 0, 1), (4, 51, 50, 1), (4, 52, 50, 1), (5, 42, 0, 1), (6, 42, 0, 1), (7, 42, 0, 1), (8, 42, 0, 1),
  (9, 41, 0, 1), (10, 41, 0, 1), (11, 40, 0, 1), (12, 51, 50, 2), (12, 40, 0, 1), (12, 41, 0, 1), (12, 43, 0, 1);
INSERT INTO oc_return (order_id, product_id, quantity, return_action_id, return_status_id) VALUES
  (12, 51, 1, 1, 3), (12, 40, 1, 2, 3), (12, 41, 1, 3, 3), (12, 43, 1, 1, 1);

INSERT INTO oc_product (product_id, master_id, image, manufacturer_id, price, date_available, status) VALUES
  (40, 0, 'catalog/iphone.jpg', 8, 101, '2009-02-03', 1), (41, 0, '', 8, 500.5, '2009-02-03', 1),
  (42, 0, '', 0, 20, '2009-02-03', 0), (43, 0, '', 0, 5, '2999-01-01', 1), (50, 0, '', 0, 20, '2009-02-03', 1),
  (51, 50, '', 0, 21, '2009-02-03', 1);
INSERT INTO oc_product_description VALUES (40, 1, 'iPhone', 'phone, touch'), (40, 2, 'Das iPhone', ''),
  (41, 1, 'iMac', ''), (50, 1, 'Shirt', '');
INSERT INTO oc_category_description VALUES (20, 1, 'Desktops'), (27, 1, 'Mac'), (24, 1, 'Phones');
INSERT INTO oc_category_path VALUES (20, 20, 0), (27, 20, 0), (27, 27, 1), (24, 24, 0);
INSERT INTO oc_product_to_category VALUES (40, 24), (41, 20), (41, 27);
INSERT INTO oc_manufacturer VALUES (8, 'Apple');
INSERT INTO oc_seo_url (store_id, language_id, `key`, `value`, keyword) VALUES (0, 1, 'product_id', '40', 'iphone'),
  (0, 2, 'product_id', '40', 'das-iphone'), (0, 1, 'path', '41', 'macs');
INSERT INTO oc_setting (`key`, `value`) VALUES ('config_currency', 'USD');
