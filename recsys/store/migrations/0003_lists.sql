-- What the backend knows of the list that recommendations holds for a customer, and who is making a new one.
--
-- One row a customer: her list is replaced as a whole. Moments are milliseconds since 1970 in UTC. leaseToken names the one
-- process that may store the next list, until leaseUntil; taking it away makes what is being computed void.

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
