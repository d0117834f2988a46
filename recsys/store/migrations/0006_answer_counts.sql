-- How many lists the backend answered: for each hour, source and fallback reason.
--
-- hour is the beginning of the hour, in UTC. reason is empty where there is none. Each server adds its counts every few
-- seconds, and rows older than 90 days are deleted.

CREATE TABLE IF NOT EXISTS rec_answer_counts (
    hour {{datetime}} NOT NULL,
    source VARCHAR(50) NOT NULL,
    reason VARCHAR(50) NOT NULL DEFAULT '',
    count BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, source, reason)
) {{table_by_key}};
