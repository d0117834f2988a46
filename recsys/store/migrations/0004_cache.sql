-- The backend's cache: the list that a user sees, and each model's answer. Training does not need it.
--
-- Both tables were once part of 0002, so a database may have them and their indices already.

CREATE TABLE IF NOT EXISTS recommendations (
    id {{id}},
    userId BIGINT NOT NULL,
    productId BIGINT NOT NULL,
    modelName VARCHAR(50) NOT NULL,
    score {{double}} NOT NULL DEFAULT 0,
    details {{text}} NULL,
    createdAt {{datetime}} NOT NULL DEFAULT {{now}},
    updatedAt {{datetime}} NOT NULL DEFAULT {{now}}
) {{table}};

{{create_index}} recommendations_by_user ON recommendations (userId, score);

CREATE TABLE IF NOT EXISTS model_runs (
    id {{id}},
    userId BIGINT NOT NULL,
    modelName VARCHAR(50) NOT NULL,
    metricsJson {{text}} NULL,
    recommendationsJson {{text}} NULL,
    createdAt {{datetime}} NOT NULL DEFAULT {{now}},
    updatedAt {{datetime}} NOT NULL DEFAULT {{now}}
) {{table}};

{{create_index}} model_runs_by_user ON model_runs (userId, createdAt);
