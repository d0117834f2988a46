-- The purchases of one user that no cancellation annuls: docs/SHOP.md, "Bought". recsys/store/user.py fills in the words in double braces: a SELECT of `item, event, moment, second, row_id`, the places of bound names, and the last second that counts.
-- A second is text, as in 2026-11-20 14:00:00; a moment is what the shop stores.
--
-- All purchases of items without a cancellation stand. For the others, which are few, a purchase adds 1 to the balance of its item, and a
-- cancellation takes 1 away. As with brackets, a purchase stands if the balance never falls below its own value later. Equal events of one
-- second count once, by the smallest row id. Row ids are compared as text: the longer number is larger.
WITH user_events AS (
    {{events}}
), steps AS (
    SELECT item, event, moment, second, row_id, CASE WHEN event IN ({{cancels}}) THEN -1 ELSE 1 END AS step
    FROM user_events
    WHERE (event IN ({{purchases}}) OR event IN ({{cancels}})) AND second > '1970-01-01 00:00:00' AND second <= {{until}}
), cancelled AS (
    SELECT item FROM steps WHERE step = -1
), copies AS (
    SELECT item, event, moment, second, row_id, step,
           ROW_NUMBER() OVER (PARTITION BY item, event, second ORDER BY LENGTH(row_id), row_id) AS copy
    FROM steps WHERE item IN (SELECT item FROM cancelled)
), balances AS (
    SELECT item, event, moment, second, row_id, step, SUM(step) OVER (
        PARTITION BY item ORDER BY second, LENGTH(row_id), row_id, step DESC, event ROWS UNBOUNDED PRECEDING
    ) AS balance
    FROM copies WHERE copy = 1
), lows AS (
    SELECT item, moment, second, step, balance, MIN(balance) OVER (
        PARTITION BY item ORDER BY second, LENGTH(row_id), row_id, step DESC, event
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS lowest
    FROM balances
)
SELECT item, moment, second FROM steps WHERE item NOT IN (SELECT item FROM cancelled)
UNION ALL
SELECT item, moment, second FROM lows WHERE step = 1 AND lowest >= balance
