-- The backend's record of each user's list in recommendations.
--
-- There is one row for each user, whose list is replaced as a whole. computedAt is milliseconds since 1970 in UTC, and 0 or
-- negative where there is no valid list. leaseToken is random; a purchase, a deletion and the start of a list that shall be stored
-- in any case change it, and lists that were begun under another one are not stored. leaseUntil is no longer used; older
-- versions need it.

CREATE TABLE IF NOT EXISTS rec_lists (
    userId BIGINT NOT NULL PRIMARY KEY,
    modelName VARCHAR(50) NULL,
    modelVersion VARCHAR(191) NULL,
    source VARCHAR(50) NULL,
    context VARCHAR(191) NULL,
    asked INT NOT NULL DEFAULT 0,
    computedAt BIGINT NOT NULL DEFAULT 0,
    leaseToken VARCHAR(64) NULL,
    leaseUntil BIGINT NOT NULL DEFAULT 0
) {{table_by_key}};
