-- The backend's cache: the list it shows a customer, and what each model said. Training does without.
--
-- Both stood in 0002 once, so that a database may have them already, their indices included.

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
