-- The default schema's shop. Other shops do not need it: they map their own tables in recsys.toml.
--
-- dialects.json replaces {{words}} in double braces, for each database. A statement ends with a
-- semicolon at the end of a line. Names are never quoted.
--
-- There are no foreign keys on purpose: events stay when their products are deleted (training learns
-- from both), and checking two parents per event would slow imports of millions of rows for no gain in reading.

CREATE TABLE IF NOT EXISTS Allcodes (
    id {{id}},
    type VARCHAR(50) NOT NULL,
    value VARCHAR(255) NOT NULL,
    code VARCHAR(50) NOT NULL UNIQUE
) {{table}};

-- externalId is the id of the user or product in another system, where that cannot be the id here.
CREATE TABLE IF NOT EXISTS Users (
    id {{id}},
    externalId {{event_key}} NULL UNIQUE,
    email VARCHAR(255) NULL UNIQUE,
    password VARCHAR(255) NULL,
    firstName VARCHAR(255) NULL,
    lastName VARCHAR(255) NULL,
    address VARCHAR(255) NULL,
    genderId VARCHAR(50) NULL,
    phonenumber VARCHAR(50) NULL,
    dob DATE NULL,
    roleId VARCHAR(50) NULL,
    statusId VARCHAR(50) NULL,
    createdAt {{datetime}} NOT NULL DEFAULT {{now}},
    updatedAt {{datetime}} NOT NULL DEFAULT {{now}}
) {{table}};

CREATE TABLE IF NOT EXISTS Products (
    id {{id}},
    externalId {{event_key}} NULL UNIQUE,
    name VARCHAR(255) NOT NULL,
    contentHTML {{text}} NULL,
    contentMarkdown {{text}} NULL,
    statusId VARCHAR(50) NOT NULL DEFAULT 'S1',
    categoryId VARCHAR(50) NULL,
    brandId VARCHAR(50) NULL,
    view INT NOT NULL DEFAULT 0,
    madeby VARCHAR(255) NULL,
    material VARCHAR(255) NULL,
    createdAt {{datetime}} NOT NULL DEFAULT {{now}},
    updatedAt {{datetime}} NOT NULL DEFAULT {{now}}
) {{table}};

CREATE INDEX Products_by_category ON Products (categoryId, statusId);
CREATE INDEX Products_by_brand ON Products (brandId, statusId);
CREATE INDEX Products_by_view ON Products (statusId, view);

-- Prices are doubles: Node and Python read them as numbers alike, and a shop's prices are exact in them.
CREATE TABLE IF NOT EXISTS Productdetails (
    id {{id}},
    productId BIGINT NOT NULL,
    nameDetail VARCHAR(255) NULL,
    description {{text}} NULL,
    originalPrice {{double}} NULL,
    discountPrice {{double}} NULL,
    stock INT NULL,
    createdAt {{datetime}} NOT NULL DEFAULT {{now}},
    updatedAt {{datetime}} NOT NULL DEFAULT {{now}}
) {{table}};

CREATE INDEX Productdetails_by_product ON Productdetails (productId);

-- The image is the text of an SVG, or a data: URL.
CREATE TABLE IF NOT EXISTS Productimages (
    id {{id}},
    productId BIGINT NOT NULL,
    image {{text}} NOT NULL,
    createdAt {{datetime}} NOT NULL DEFAULT {{now}},
    updatedAt {{datetime}} NOT NULL DEFAULT {{now}}
) {{table}};

CREATE INDEX Productimages_by_product ON Productimages (productId);

-- eventId is chosen by the sender, so that an event sent twice is stored once.
CREATE TABLE IF NOT EXISTS Interactions (
    interId {{id}},
    userId BIGINT NOT NULL,
    productId BIGINT NOT NULL,
    actionCode VARCHAR(50) NOT NULL,
    device_type VARCHAR(50) NULL,
    timestamp {{datetime}} NOT NULL DEFAULT {{now}},
    eventId {{event_key}} NULL UNIQUE
) {{table}};

CREATE INDEX Interactions_by_user ON Interactions (userId, timestamp);
CREATE INDEX Interactions_by_time ON Interactions (timestamp);

CREATE TABLE IF NOT EXISTS Comments (
    id {{id}},
    content {{text}} NULL,
    parentId BIGINT NULL,
    productId BIGINT NULL,
    userId BIGINT NULL,
    blogId BIGINT NULL,
    star INT NULL,
    createdAt {{datetime}} NOT NULL DEFAULT {{now}},
    updatedAt {{datetime}} NOT NULL DEFAULT {{now}}
) {{table}};

CREATE INDEX Comments_by_user ON Comments (userId, createdAt);
CREATE INDEX Comments_by_product ON Comments (productId);
