-- What users did, as told to recsys itself, and what follows from it. docs/TRACKING.md says who writes and who reads each table.
--
-- Moments are seconds since 1970 in UTC. Ids are bytes, compared as bytes: 'a' and 'A' are two users.

-- interaction_id is made of what makes an event the same, so that one sent twice is stored once. pending = 1 until the event is in
-- rec_user_preferences.
CREATE TABLE IF NOT EXISTS rec_user_interactions (
    id {{id}},
    interaction_id {{event_key}} NOT NULL UNIQUE,
    user_id {{key}} NOT NULL,
    session_id {{key}} NULL,
    product_id {{key}} NULL,
    interaction_type VARCHAR(50) NOT NULL,
    metadata {{text}} NULL,
    event_id {{event_key}} NULL,
    recommendation_id {{event_key}} NULL,
    position INT NULL,
    occurred_at BIGINT NOT NULL,
    pending SMALLINT NOT NULL DEFAULT 0
) {{table}};

{{create_index}} rec_user_interactions_by_user ON rec_user_interactions (user_id, occurred_at);
{{create_index}} rec_user_interactions_by_time ON rec_user_interactions (occurred_at);
{{create_index}} rec_user_interactions_by_pending ON rec_user_interactions (pending, user_id);

-- categories and brands are JSON: a score of each, above 0 to 1. revision counts the writes, so that none overwrites a newer one.
CREATE TABLE IF NOT EXISTS rec_user_preferences (
    user_id {{key}} NOT NULL,
    categories {{text}} NOT NULL,
    brands {{text}} NOT NULL,
    price_min {{double}} NULL,
    price_max {{double}} NULL,
    revision BIGINT NOT NULL DEFAULT 0,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id)
) {{table_by_key}};

-- The item-item weights of the active version.
CREATE TABLE IF NOT EXISTS rec_product_similarities (
    item_id {{key}} NOT NULL,
    similar_id {{key}} NOT NULL,
    score {{double}} NOT NULL,
    version VARCHAR(191) NOT NULL,
    PRIMARY KEY (item_id, similar_id)
) {{table_by_key}};

-- confidence is the share of the orders with item_id that hold together_id, too; confidence_back is the other direction.
CREATE TABLE IF NOT EXISTS rec_frequently_together (
    item_id {{key}} NOT NULL,
    together_id {{key}} NOT NULL,
    n_orders INT NOT NULL,
    lift {{double}} NOT NULL,
    confidence {{double}} NOT NULL,
    confidence_back {{double}} NOT NULL,
    PRIMARY KEY (item_id, together_id)
) {{table_by_key}};

-- Lists of ids, scores and reasons. Prices and what is sold now are read when a list is shown.
CREATE TABLE IF NOT EXISTS rec_recommendations_cache (
    user_id {{key}} NOT NULL,
    list_key {{key}} NOT NULL,
    entry {{text}} NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, list_key)
) {{table_by_key}};

{{create_index}} rec_recommendations_cache_by_expiry ON rec_recommendations_cache (expires_at);

-- arm is the user's arm of an experiment; it stays when the segment changes.
CREATE TABLE IF NOT EXISTS rec_user_segments (
    user_id {{key}} NOT NULL,
    segment VARCHAR(50) NOT NULL,
    arm VARCHAR(50) NULL,
    assigned_at BIGINT NOT NULL,
    PRIMARY KEY (user_id)
) {{table_by_key}};

-- How often each thing happened on a day of UTC. position is the place in the list from 1, and 0 where it is unknown.
CREATE TABLE IF NOT EXISTS rec_analytics (
    day DATE NOT NULL,
    algorithm VARCHAR(50) NOT NULL,
    position INT NOT NULL,
    action VARCHAR(50) NOT NULL,
    count BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (day, algorithm, position, action)
) {{table_by_key}};
