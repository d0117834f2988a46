-- The columns that the preset reads, with the names, types and keys of Medusa 2; all rows are invented.
CREATE TYPE order_status_enum AS ENUM ('pending', 'completed', 'draft', 'archived', 'canceled', 'requires_action');
CREATE TABLE customer (id text PRIMARY KEY, email text NULL, has_account boolean NOT NULL DEFAULT false,
  deleted_at timestamptz NULL);
CREATE UNIQUE INDEX "IDX_customer_email_has_account_unique" ON customer (email, has_account) WHERE deleted_at IS NULL;
CREATE TABLE "order" (id text PRIMARY KEY, customer_id text NULL, version integer NOT NULL DEFAULT 1,
  status order_status_enum NOT NULL DEFAULT 'pending', is_draft_order boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz NULL);
CREATE INDEX "IDX_order_customer_id" ON "order" (customer_id) WHERE deleted_at IS NULL;
CREATE TABLE order_line_item (id text PRIMARY KEY, variant_id text NULL, product_id text NULL,
  deleted_at timestamptz NULL);
CREATE TABLE order_item (id text PRIMARY KEY, order_id text NOT NULL, version integer NOT NULL, item_id text NOT NULL,
  quantity numeric NOT NULL, raw_quantity jsonb NOT NULL,
  return_received_quantity numeric NOT NULL,
  raw_return_received_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
  return_dismissed_quantity numeric NOT NULL,
  raw_return_dismissed_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
  written_off_quantity numeric NOT NULL,
  raw_written_off_quantity jsonb NOT NULL DEFAULT '{"value": "0", "precision": 20}',
  deleted_at timestamptz NULL);
CREATE INDEX "IDX_order_item_order_id_version" ON order_item (order_id, version) WHERE deleted_at IS NULL;
CREATE TABLE product (id text PRIMARY KEY, title text NOT NULL, handle text NOT NULL,
  status text NOT NULL DEFAULT 'draft', thumbnail text NULL, deleted_at timestamptz NULL);
CREATE UNIQUE INDEX "IDX_product_handle_unique" ON product (handle) WHERE deleted_at IS NULL;
CREATE TABLE product_variant (id text PRIMARY KEY, product_id text NULL, deleted_at timestamptz NULL);
CREATE INDEX "IDX_product_variant_product_id" ON product_variant (product_id) WHERE deleted_at IS NULL;
CREATE TABLE product_variant_price_set (id varchar(255) NOT NULL, variant_id varchar(255) NOT NULL,
  price_set_id varchar(255) NOT NULL, deleted_at timestamptz NULL, PRIMARY KEY (variant_id, price_set_id));
CREATE TABLE price (id text PRIMARY KEY, price_set_id text NOT NULL, currency_code text NOT NULL,
  raw_amount jsonb NOT NULL, rules_count integer NULL DEFAULT 0, deleted_at timestamptz NULL, price_list_id text NULL,
  amount numeric NOT NULL, min_quantity numeric NULL, raw_min_quantity jsonb NULL);
CREATE INDEX "IDX_price_price_set_id" ON price (price_set_id) WHERE deleted_at IS NULL;
CREATE TABLE product_category (id text PRIMARY KEY, handle text NOT NULL, mpath text NOT NULL,
  is_active boolean NOT NULL DEFAULT false, is_internal boolean NOT NULL DEFAULT false,
  rank integer NOT NULL DEFAULT 0, deleted_at timestamptz NULL);
CREATE TABLE product_category_product (product_id text NOT NULL, product_category_id text NOT NULL,
  PRIMARY KEY (product_id, product_category_id));
CREATE TABLE product_tag (id text PRIMARY KEY, value text NOT NULL, deleted_at timestamptz NULL);
CREATE TABLE product_tags (product_id text NOT NULL, product_tag_id text NOT NULL,
  PRIMARY KEY (product_id, product_tag_id));

-- ann ordered as a guest before she had an account. eve's account is deleted, and so is dan's guest.
INSERT INTO customer (id, email, has_account, deleted_at) VALUES
  ('cus_ann', 'ann@example.com', true, NULL), ('cus_ann_guest', 'ann@example.com', false, NULL),
  ('cus_bob', 'bob@example.com', false, NULL), ('cus_cyd', 'cyd@example.com', true, '2025-03-01'),
  ('cus_dan', 'dan@example.com', true, NULL), ('cus_dan_guest', 'dan@example.com', false, '2025-03-01'),
  ('cus_eve', 'eve@example.com', true, '2025-03-01'), ('cus_eve_guest', 'eve@example.com', false, NULL);
INSERT INTO "order" (id, customer_id, version, status, is_draft_order, created_at, deleted_at) VALUES
  ('o01', 'cus_ann', 3, 'completed', false, '2025-01-01 10:00:00+00', NULL),
  ('o02', 'cus_ann', 2, 'pending', false, '2025-01-02 10:00:00+00', NULL),
  ('o03', 'cus_ann', 4, 'pending', false, '2025-01-03 10:00:00+00', NULL),
  ('o04', 'cus_ann', 4, 'pending', false, '2025-01-04 10:00:00+00', NULL),
  ('o05', 'cus_ann', 4, 'pending', false, '2025-01-05 10:00:00+00', NULL),
  ('o06', 'cus_ann', 1, 'canceled', false, '2025-01-06 10:00:00+00', NULL),
  ('o07', 'cus_ann', 1, 'draft', true, '2025-01-07 10:00:00+00', NULL),
  ('o08', 'cus_ann', 1, 'pending', false, '2025-01-08 10:00:00+00', '2025-01-09'),
  ('o09', 'cus_bob', 1, 'pending', false, '2025-01-09 10:00:00+00', NULL),
  ('o10', 'cus_ann_guest', 1, 'pending', false, '2024-12-10 10:00:00+00', NULL),
  ('o11', 'cus_cyd', 1, 'completed', false, '2025-01-11 10:00:00+00', NULL),
  ('o12', 'cus_eve_guest', 1, 'pending', false, '2025-01-12 10:00:00+00', NULL),
  ('o13', NULL, 1, 'pending', false, '2025-01-13 10:00:00+00', NULL),
  ('o14', 'cus_dan', 1, 'pending', false, '2025-01-14 10:00:00+00', NULL),
  ('o15', 'cus_dan', 1, 'archived', false, '2025-01-15 10:00:00+00', NULL),
  ('o16', 'cus_dan', 1, 'pending', false, '2025-01-16 10:00:00+00', NULL),
  ('o17', 'cus_dan', 3, 'pending', false, '2025-01-17 23:30:00-05', NULL),
  ('o18', 'cus_dan_guest', 1, 'pending', false, '2025-01-18 10:00:00+00', NULL),
  ('o19', 'cus_dan', 1, 'pending', false, '2025-01-19 10:00:00+00', NULL);
INSERT INTO order_line_item (id, variant_id, product_id) VALUES
  ('o01a', 'shirt_m', 'shirt'), ('o01b', 'mug_1', 'mug'), ('o02a', 'shirt_m', 'shirt'), ('o02b', 'cap_1', 'cap'),
  ('o02c', 'bag_1', 'bag'), ('o03a', 'mug_1', 'mug'), ('o03b', 'cap_1', 'cap'), ('o04a', 'bag_1', 'bag'),
  ('o05a', 'mug_1', 'mug'), ('o05b', 'cap_1', 'cap'), ('o06a', 'shirt_m', 'shirt'), ('o07a', 'shirt_m', 'shirt'),
  ('o08a', 'shirt_m', 'shirt'), ('o09a', 'shirt_m', 'shirt'), ('o09b', 'shirt_l', 'shirt'), ('o10a', 'cap_1', 'cap'),
  ('o11a', 'bag_1', 'bag'), ('o12a', 'mug_1', 'mug'), ('o13a', 'shirt_m', 'shirt'), ('o14a', 'mug_1', 'mug'),
  ('o15a', 'poster_1', 'poster_old'), ('o16a', NULL, NULL), ('o17a', 'shirt_l', 'shirt'), ('o18a', 'mug_1', 'mug'),
  ('o19a', 'bag_1', 'bag');
INSERT INTO order_item (id, order_id, version, item_id, quantity, raw_quantity, return_received_quantity,
  raw_return_received_quantity, return_dismissed_quantity, raw_return_dismissed_quantity, written_off_quantity,
  raw_written_off_quantity)
SELECT line || '_' || version, SUBSTR(line, 1, 3), version, line, quantity,
  jsonb_build_object('value', quantity::text), received, jsonb_build_object('value', received::text), dismissed,
  jsonb_build_object('value', dismissed::text), written_off, jsonb_build_object('value', written_off::text)
FROM (VALUES
  -- o01, fulfilled and shipped: shirt, mug
  ('o01a', 1, 1, 0, 0, 0), ('o01b', 1, 2, 0, 0, 0), ('o01a', 2, 1, 0, 0, 0), ('o01b', 2, 2, 0, 0, 0),
  ('o01a', 3, 1, 0, 0, 0), ('o01b', 3, 2, 0, 0, 0),
  -- o02, edited; the cap was removed and a bag added: shirt, bag
  ('o02a', 1, 1, 0, 0, 0), ('o02b', 1, 1, 0, 0, 0), ('o02a', 2, 1, 0, 0, 0), ('o02c', 2, 1, 0, 0, 0),
  -- o03, one of two mugs and the cap came back: mug
  ('o03a', 1, 2, 0, 0, 0), ('o03b', 1, 1, 0, 0, 0), ('o03a', 4, 2, 1, 0, 0), ('o03b', 4, 1, 1, 0, 0),
  -- o04, wholly returned: nothing
  ('o04a', 1, 1, 0, 0, 0), ('o04a', 4, 1, 1, 0, 0),
  -- o05, one mug came back whole and one damaged; of two caps one came back damaged: cap
  ('o05a', 1, 2, 0, 0, 0), ('o05b', 1, 2, 0, 0, 0), ('o05a', 4, 2, 1, 1, 1), ('o05b', 4, 2, 0, 1, 1),
  -- o06 cancelled, o07 a draft, o08 deleted: nothing
  ('o06a', 1, 1, 0, 0, 0), ('o07a', 1, 1, 0, 0, 0), ('o08a', 1, 1, 0, 0, 0),
  -- o09, two variants of one product in one order: shirt, twice in a second
  ('o09a', 1, 1, 0, 0, 0), ('o09b', 1, 1, 0, 0, 0),
  -- o10 ann's guest: cap. o11 of a deleted customer: bag. o12 of a guest: mug. o13 of nobody: shirt, without a user
  ('o10a', 1, 1, 0, 0, 0), ('o11a', 1, 1, 0, 0, 0), ('o12a', 1, 1, 0, 0, 0), ('o13a', 1, 1, 0, 0, 0),
  -- o14, whose raw column below says that the mug came back: nothing. o15 a deleted product: poster_old
  ('o14a', 1, 1, 0, 0, 0), ('o15a', 1, 1, 0, 0, 0),
  -- o16, a line that is no product: nothing. o17, a return that is only announced: shirt
  ('o16a', 1, 1, 0, 0, 0), ('o17a', 1, 1, 0, 0, 0), ('o17a', 3, 1, 0, 0, 0),
  -- o18 of a deleted guest: mug, and not dan's. o19, a line that was deleted below: nothing
  ('o18a', 1, 1, 0, 0, 0), ('o19a', 1, 1, 0, 0, 0)
) AS lines (line, version, quantity, received, dismissed, written_off);
UPDATE order_item SET raw_return_received_quantity = '{"value": "1", "precision": 20}' WHERE item_id = 'o14a';
UPDATE order_item SET deleted_at = '2025-01-20' WHERE item_id = 'o19a';

INSERT INTO product (id, title, handle, status, thumbnail, deleted_at) VALUES
  ('shirt', 'Áo thun', 'ao-thun', 'published', 'https://shop.example/shirt.jpg', NULL),
  ('mug', 'Mug', 'mug', 'draft', NULL, NULL), ('bag', 'Bag', 'bag', 'published', NULL, NULL),
  ('cap', 'Cap', 'cap', 'published', NULL, NULL),
  ('poster_old', 'Poster', 'poster', 'published', NULL, '2025-02-01'),
  ('poster_new', 'Poster', 'poster', 'published', NULL, NULL);
INSERT INTO product_variant (id, product_id, deleted_at) VALUES ('shirt_m', 'shirt', NULL), ('shirt_l', 'shirt', NULL),
  ('shirt_s', 'shirt', '2025-01-01'), ('mug_1', 'mug', NULL), ('bag_1', 'bag', NULL), ('cap_1', 'cap', NULL);
INSERT INTO product_variant_price_set (id, variant_id, price_set_id, deleted_at) VALUES
  ('1', 'shirt_m', 'set_m', NULL), ('2', 'shirt_l', 'set_l', NULL), ('3', 'shirt_s', 'set_s', NULL),
  ('4', 'mug_1', 'set_mug', NULL), ('5', 'cap_1', 'set_cap', NULL), ('6', 'bag_1', 'set_bag', '2025-01-01');
-- The shirt's cheapest price in vnd is 239000: its raw amount wins over 241000. All lower ones are of deleted rows, of a
-- price list, of a region, or of ten pieces.
INSERT INTO price (id, price_set_id, currency_code, amount, raw_amount, rules_count, price_list_id, min_quantity,
  raw_min_quantity, deleted_at) VALUES
  ('p01', 'set_m', 'vnd', 250000, '{"value": "250000"}', 0, NULL, NULL, NULL, NULL),
  ('p02', 'set_l', 'vnd', 241000, '{"value": "239000"}', NULL, NULL, 1, '{"value": "1"}', NULL),
  ('p03', 'set_l', 'usd', 9.99, '{"value": "9.99"}', 0, NULL, NULL, NULL, NULL),
  ('p04', 'set_l', 'vnd', 100, '{"value": "100"}', 0, 'plist_draft', NULL, NULL, NULL),
  ('p05', 'set_l', 'vnd', 90, '{"value": "90"}', 1, NULL, NULL, NULL, NULL),
  ('p06', 'set_l', 'vnd', 80, '{"value": "80"}', 0, NULL, 10, '{"value": "10"}', NULL),
  ('p07', 'set_l', 'vnd', 70, '{"value": "70"}', 0, NULL, NULL, NULL, '2025-01-01'),
  ('p08', 'set_s', 'vnd', 60, '{"value": "60"}', 0, NULL, NULL, NULL, NULL),
  ('p09', 'set_mug', 'eur', 4, '{"value": "4"}', 0, NULL, NULL, NULL, NULL),
  ('p10', 'set_mug', 'usd', 5.5, '{"value": "5.5"}', 0, NULL, NULL, NULL, NULL),
  ('p11', 'set_cap', 'eur', 7, '{"value": "7.25"}', 0, NULL, NULL, NULL, NULL),
  ('p12', 'set_bag', 'usd', 30, '{"value": "30"}', 0, NULL, NULL, NULL, NULL);
INSERT INTO product_category (id, handle, mpath, is_active, is_internal, rank) VALUES
  ('c1', 'clothes', 'c1', true, false, 0), ('c2', 'shirts', 'c1.c2', true, false, 5),
  ('c3', 'staff', 'c3', true, true, 0), ('c4', 'kitchen', 'c4', true, false, 2), ('c5', 'gifts', 'c5', true, false, 1),
  ('c6', 'soon', 'c1.c6', false, false, 0);
INSERT INTO product_category_product VALUES ('shirt', 'c1'), ('shirt', 'c2'), ('shirt', 'c6'), ('bag', 'c3'),
  ('mug', 'c4'), ('mug', 'c5');
INSERT INTO product_tag (id, value, deleted_at) VALUES ('t1', 'summer', NULL), ('t2', 'cotton', NULL),
  ('t3', 'old', '2025-01-01');
INSERT INTO product_tags VALUES ('shirt', 't1'), ('shirt', 't2'), ('shirt', 't3');
