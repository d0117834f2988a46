-- The backend's record of each user's list in recommendations, and of the process that computes the next one.
--
-- There is one row for each user, whose list is replaced as a whole. Times are milliseconds since 1970 in UTC. leaseToken
-- names the one process that may store the next list, until leaseUntil. Without its token, that process stores nothing.

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
