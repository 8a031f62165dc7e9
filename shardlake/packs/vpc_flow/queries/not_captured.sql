-- description: the interfaces of which AWS skipped records in a day, how often, and when
-- views: capture
-- One SKIPDATA record stands for any number of flows. NODATA is none of these: there was no traffic.
WITH knobs AS (SELECT INTERVAL '1 day' AS period)  -- up to the newest five minutes; copy this file to change it
SELECT
    interface,
    coalesce(sum(records) FILTER (WHERE status = 'SKIPDATA'), 0)::BIGINT AS skipped,
    coalesce(sum(records) FILTER (WHERE status = 'OK'), 0)::BIGINT AS captured,
    min(first_start) FILTER (WHERE status = 'SKIPDATA') AS first_skipped,
    max(last_end) FILTER (WHERE status = 'SKIPDATA') AS last_skipped
FROM capture, knobs
WHERE bucket > (SELECT max(bucket) FROM capture) - period
GROUP BY interface
HAVING skipped > 0
ORDER BY skipped DESC, interface
