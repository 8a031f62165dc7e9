-- description: requests and bytes of bots and people
SELECT
    time_bucket(INTERVAL '1 hour', time) AS hour,
    is_bot,
    count(*) AS requests,
    sum(bytes) AS bytes
FROM requests
GROUP BY ALL

-- ---------------------------------------- fingerprint 36d411d6e2021246, window hour 3600000000
-- key    hour TIMESTAMP exact
-- key    is_bot BOOLEAN exact
-- state  requests__count BIGINT exact
-- state  bytes__sum BIGINT exact
-- output hour TIMESTAMP exact
-- output is_bot BOOLEAN exact
-- output requests BIGINT exact
-- output bytes BIGINT exact

-- ---------------------------------------- partial
SELECT
    time_bucket(INTERVAL '1 hours', "time") AS "hour",
    "is_bot",
    count(*) AS "requests__count",
    CAST(sum("bytes") AS BIGINT) AS "bytes__sum"
FROM {events}
WHERE NOT "_duplicate"
GROUP BY 1, 2

-- ---------------------------------------- combine
SELECT
    "hour",
    "is_bot",
    CAST(sum("requests__count") AS BIGINT) AS "requests__count",
    CAST(sum("bytes__sum") AS BIGINT) AS "bytes__sum"
FROM {partials}
GROUP BY 1, 2

-- ---------------------------------------- finalize
SELECT
    "hour",
    "is_bot",
    "requests__count" AS "requests",
    "bytes__sum" AS "bytes"
FROM {combined}
