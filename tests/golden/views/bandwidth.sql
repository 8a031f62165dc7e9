-- description: bandwidth per distribution and edge location
SELECT
    time_bucket(INTERVAL '1 minute', time) AS minute,
    distribution,
    left(edge, 3) AS location,
    sum(bytes) AS bytes,
    count(*) FILTER (WHERE status >= 500) AS errors,
    sum(bytes) / count(*) AS bytes_per_request
FROM requests
WHERE status <> 0 AND url NOT LIKE '/health%'
GROUP BY 1, 2, left(edge, 3)

-- ---------------------------------------- fingerprint b3f0d90897a94dba, window minute 60000000
-- key    minute TIMESTAMP exact
-- key    distribution VARCHAR exact
-- key    location VARCHAR exact
-- state  bytes__sum BIGINT exact
-- state  errors__count BIGINT exact
-- state  bytes_per_request__count BIGINT exact
-- output minute TIMESTAMP exact
-- output distribution VARCHAR exact
-- output location VARCHAR exact
-- output bytes BIGINT exact
-- output errors BIGINT exact
-- output bytes_per_request DOUBLE exact

-- ---------------------------------------- partial
SELECT
    time_bucket(INTERVAL '1 minutes', "time") AS "minute",
    "distribution",
    left("edge", 3) AS "location",
    CAST(sum("bytes") AS BIGINT) AS "bytes__sum",
    count(*) FILTER (WHERE ("status" >= 500)) AS "errors__count",
    count(*) AS "bytes_per_request__count"
FROM {events}
WHERE NOT "_duplicate"
    AND (("status" <> 0) AND ("url" NOT LIKE '/health%'))
GROUP BY 1, 2, 3

-- ---------------------------------------- combine
SELECT
    "minute",
    "distribution",
    "location",
    CAST(sum("bytes__sum") AS BIGINT) AS "bytes__sum",
    CAST(sum("errors__count") AS BIGINT) AS "errors__count",
    CAST(sum("bytes_per_request__count") AS BIGINT) AS "bytes_per_request__count"
FROM {partials}
GROUP BY 1, 2, 3

-- ---------------------------------------- finalize
SELECT
    "minute",
    "distribution",
    "location",
    "bytes__sum" AS "bytes",
    "errors__count" AS "errors",
    (CAST("bytes__sum" AS DOUBLE) / CAST("bytes_per_request__count" AS DOUBLE)) AS "bytes_per_request"
FROM {combined}
