-- Our own tables: the models' indices of users, products and context values.
--
-- Versions lie side by side. Their rows count once rec_versions says complete = 1; active = 1 marks the one that the
-- views below show. Ids are bytes, compared as bytes: 'a' and 'A' are two users.

CREATE TABLE IF NOT EXISTS rec_versions (
    id SMALLINT NOT NULL PRIMARY KEY,
    name VARCHAR(191) NOT NULL UNIQUE,
    complete SMALLINT NOT NULL DEFAULT 0,
    active SMALLINT NOT NULL DEFAULT 0,
    data_until BIGINT NOT NULL
) {{table}};

CREATE TABLE IF NOT EXISTS rec_user_encoder (
    version SMALLINT NOT NULL,
    original_id {{key}} NOT NULL,
    idx INT NOT NULL,
    PRIMARY KEY (version, original_id)
) {{table_by_key}};

CREATE INDEX rec_user_encoder_by_idx ON rec_user_encoder (version, idx);

CREATE TABLE IF NOT EXISTS rec_item_encoder (
    version SMALLINT NOT NULL,
    original_id {{key}} NOT NULL,
    idx INT NOT NULL,
    PRIMARY KEY (version, original_id)
) {{table_by_key}};

CREATE INDEX rec_item_encoder_by_idx ON rec_item_encoder (version, idx);

CREATE TABLE IF NOT EXISTS rec_context_mapping (
    version SMALLINT NOT NULL,
    feature_name VARCHAR(64) NOT NULL,
    original_value {{key}} NOT NULL,
    idx INT NOT NULL,
    PRIMARY KEY (version, feature_name, original_value)
) {{table_by_key}};

CREATE TABLE IF NOT EXISTS rec_context_meta (
    version SMALLINT NOT NULL,
    feature_name VARCHAR(64) NOT NULL,
    position INT NOT NULL,
    PRIMARY KEY (version, feature_name)
) {{table_by_key}};

-- Views of the active version, for programs that know these tables from the time before versions.

{{create_view}} rec_user_encoder_active AS
    SELECT {{key_as_text}} AS original_id, e.idx AS idx
    FROM rec_versions v JOIN rec_user_encoder e ON e.version = v.id WHERE v.active = 1 AND v.complete = 1;

{{create_view}} rec_item_encoder_active AS
    SELECT {{key_as_text}} AS original_id, e.idx AS idx
    FROM rec_versions v JOIN rec_item_encoder e ON e.version = v.id WHERE v.active = 1 AND v.complete = 1;

{{create_view}} rec_context_mapping_active AS
    SELECT e.feature_name AS feature_name, {{value_as_text}} AS original_value, e.idx AS idx
    FROM rec_versions v JOIN rec_context_mapping e ON e.version = v.id WHERE v.active = 1 AND v.complete = 1;

{{create_view}} rec_context_meta_active AS
    SELECT e.feature_name AS feature_name, e.position AS position
    FROM rec_versions v JOIN rec_context_meta e ON e.version = v.id WHERE v.active = 1 AND v.complete = 1;
