-- What visitors without an account did, kept by the backend until they log in: then the rows become Interactions.
--
-- Rows of more than 30 days are deleted. guestId comes from a signed cookie, and eventId from the sender, as in Interactions.

CREATE TABLE IF NOT EXISTS rec_guest_events (
    id {{id}},
    guestId VARCHAR(32) NOT NULL,
    productId BIGINT NOT NULL,
    actionCode VARCHAR(50) NOT NULL,
    device_type VARCHAR(50) NULL,
    timestamp {{datetime}} NOT NULL,
    eventId {{event_key}} NOT NULL UNIQUE
) {{table}};

{{create_index}} rec_guest_events_by_guest ON rec_guest_events (guestId, timestamp);
{{create_index}} rec_guest_events_by_time ON rec_guest_events (timestamp);
