-- Lists of everybody, which scripts/recommend_all.py computes at night, and how far each of its runs has come.
--
-- rec_lists was taken by the backend's cache (0003), so these are rec_batch_lists. A user has one list: a new one replaces it as a whole.
-- version is the name of the version, reason the code of docs/PROTOCOL.md with the item that it names. computed_at is seconds since 1970.

CREATE TABLE IF NOT EXISTS rec_batch_lists (
    user_id {{key}} NOT NULL,
    position SMALLINT NOT NULL,
    item_id {{key}} NOT NULL,
    score {{double}} NOT NULL,
    reason VARCHAR(16) NULL,
    reason_item {{key}} NULL,
    version VARCHAR(191) NOT NULL,
    model VARCHAR(50) NOT NULL,
    source VARCHAR(50) NOT NULL,
    computed_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, position)
) {{table_by_key}};

-- One row for each job: a shard, a model, a length and a segment of users. Users are done in the order of their ids, up to last_user; the
-- lists of a block of users and this row change in one transaction.

CREATE TABLE IF NOT EXISTS rec_batch_runs (
    job VARCHAR(191) NOT NULL PRIMARY KEY,
    version VARCHAR(191) NOT NULL,
    started_at BIGINT NOT NULL,
    last_user {{key}} NULL,
    n_users BIGINT NOT NULL DEFAULT 0,
    n_lists BIGINT NOT NULL DEFAULT 0,
    finished_at BIGINT NULL
) {{table_by_key}};
