SELECT time_bucket(INTERVAL '1 hour', time) AS hour, edge, count(*) AS orders, sum(bytes) AS units, sum(price) AS revenue
FROM requests
WHERE status = 200
GROUP BY hour, edge

-- ---------------------------------------- fingerprint 9182ac2041f633f8, window hour 3600000000
-- key    hour TIMESTAMP exact
-- key    edge VARCHAR exact
-- state  _weight BIGINT exact
-- state  units__sum DECIMAL(38,0) exact
-- state  units__count BIGINT exact
-- state  revenue__sum DECIMAL(38,4) exact
-- state  revenue__count BIGINT exact
-- output hour TIMESTAMP exact
-- output edge VARCHAR exact
-- output orders BIGINT exact
-- output units BIGINT exact
-- output revenue DECIMAL(38,4) exact

-- ---------------------------------------- partial
SELECT
    time_bucket(INTERVAL '1 hours', "time") AS "hour",
    "edge",
    CAST(coalesce(sum("_weight"), 0) AS BIGINT) AS "_weight",
    CAST(coalesce(CAST(sum("bytes") FILTER (WHERE "_weight" > 0) AS DECIMAL(38,0)), CAST(0 AS DECIMAL(38,0))) - coalesce(CAST(sum("bytes") FILTER (WHERE "_weight" < 0) AS DECIMAL(38,0)), CAST(0 AS DECIMAL(38,0))) AS DECIMAL(38,0)) AS "units__sum",
    CAST(coalesce(sum("_weight") FILTER (WHERE ("bytes") IS NOT NULL), 0) AS BIGINT) AS "units__count",
    CAST(coalesce(CAST(sum("price") FILTER (WHERE "_weight" > 0) AS DECIMAL(38,4)), CAST(0 AS DECIMAL(38,4))) - coalesce(CAST(sum("price") FILTER (WHERE "_weight" < 0) AS DECIMAL(38,4)), CAST(0 AS DECIMAL(38,4))) AS DECIMAL(38,4)) AS "revenue__sum",
    CAST(coalesce(sum("_weight") FILTER (WHERE ("price") IS NOT NULL), 0) AS BIGINT) AS "revenue__count"
FROM {events}
WHERE NOT "_duplicate"
    AND ("status" = 200)
GROUP BY 1, 2

-- ---------------------------------------- combine
SELECT
    "hour",
    "edge",
    CAST(sum("_weight") AS BIGINT) AS "_weight",
    CAST(sum("units__sum") AS DECIMAL(38,0)) AS "units__sum",
    CAST(sum("units__count") AS BIGINT) AS "units__count",
    CAST(sum("revenue__sum") AS DECIMAL(38,4)) AS "revenue__sum",
    CAST(sum("revenue__count") AS BIGINT) AS "revenue__count"
FROM {partials}
GROUP BY 1, 2

-- ---------------------------------------- finalize
SELECT
    "hour",
    "edge",
    "_weight" AS "orders",
    (CASE WHEN "units__count" <> 0 THEN CAST("units__sum" AS BIGINT) END) AS "units",
    (CASE WHEN "revenue__count" <> 0 THEN CAST("revenue__sum" AS DECIMAL(38,4)) END) AS "revenue"
FROM {combined}
WHERE "_weight" <> 0
