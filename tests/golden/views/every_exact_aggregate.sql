SELECT
    coalesce(distribution, 'unknown') AS distribution,
    count(bytes) AS known,
    count_if(is_bot) AS bots,
    avg(bytes) AS mean_bytes,
    sum(price) AS price,
    round(avg(price), 2) AS mean_price,
    min(seconds) AS fastest,
    max("time") AS latest,
    bool_and(is_bot) AS all_bots,
    bool_or(is_bot) FILTER (WHERE status = 200) AS any_bot,
    var_samp(bytes) AS variance,
    stddev_pop(price) AS spread,
    arg_max(url, "time") AS last_url,
    arg_min(viewer, bytes) FILTER (WHERE bytes > 0) AS smallest,
    CASE WHEN count(*) > 10 THEN 'many' ELSE 'few' END AS size
FROM requests
GROUP BY coalesce(distribution, 'unknown')

-- ---------------------------------------- fingerprint a795c214b25af295, window None None
-- key    distribution VARCHAR exact
-- state  known__count BIGINT exact
-- state  bots__count BIGINT exact
-- state  mean_bytes__sum BIGINT exact
-- state  price__sum DECIMAL(38,4) exact
-- state  mean_price__count BIGINT exact
-- state  fastest__min DOUBLE exact
-- state  latest__max TIMESTAMP exact
-- state  all_bots__and BOOLEAN exact
-- state  any_bot__or BOOLEAN exact
-- state  variance__squares DECIMAL(38,0) exact
-- state  spread__squares DECIMAL(38,8) exact
-- state  last_url__pick STRUCT("by" TIMESTAMP, "arg" VARCHAR) exact
-- state  smallest__pick STRUCT("by" BIGINT, "arg" VARCHAR) exact
-- state  size__count BIGINT exact
-- output distribution VARCHAR exact
-- output known BIGINT exact
-- output bots BIGINT exact
-- output mean_bytes DOUBLE exact
-- output price DECIMAL(38,4) exact
-- output mean_price DOUBLE exact
-- output fastest DOUBLE exact
-- output latest TIMESTAMP exact
-- output all_bots BOOLEAN exact
-- output any_bot BOOLEAN exact
-- output variance DOUBLE exact
-- output spread DOUBLE exact
-- output last_url VARCHAR exact
-- output smallest VARCHAR exact
-- output size VARCHAR exact

-- ---------------------------------------- partial
SELECT
    coalesce("distribution", 'unknown') AS "distribution",
    count("bytes") AS "known__count",
    CAST(count_if("is_bot") AS BIGINT) AS "bots__count",
    CAST(sum("bytes") AS BIGINT) AS "mean_bytes__sum",
    CAST(sum("price") AS DECIMAL(38,4)) AS "price__sum",
    count("price") AS "mean_price__count",
    min(("seconds" + CAST(0 AS DOUBLE))) AS "fastest__min",
    max("time") AS "latest__max",
    bool_and("is_bot") AS "all_bots__and",
    bool_or("is_bot") FILTER (WHERE ("status" = 200)) AS "any_bot__or",
    CAST(sum(CAST("bytes" AS HUGEINT) * CAST("bytes" AS HUGEINT)) AS DECIMAL(38,0)) AS "variance__squares",
    CAST(sum(CAST("price" AS DECIMAL(19,4)) * CAST("price" AS DECIMAL(19,4))) AS DECIMAL(38,8)) AS "spread__squares",
    max(struct_pack("by" := "time", "arg" := "url")) FILTER (WHERE ("time" IS NOT NULL) AND ("url" IS NOT NULL)) AS "last_url__pick",
    min(struct_pack("by" := "bytes", "arg" := "viewer")) FILTER (WHERE ("bytes" > 0) AND ("bytes" IS NOT NULL) AND ("viewer" IS NOT NULL)) AS "smallest__pick",
    count(*) AS "size__count"
FROM {events}
WHERE NOT "_duplicate"
GROUP BY 1

-- ---------------------------------------- combine
SELECT
    "distribution",
    CAST(sum("known__count") AS BIGINT) AS "known__count",
    CAST(sum("bots__count") AS BIGINT) AS "bots__count",
    CAST(sum("mean_bytes__sum") AS BIGINT) AS "mean_bytes__sum",
    CAST(sum("price__sum") AS DECIMAL(38,4)) AS "price__sum",
    CAST(sum("mean_price__count") AS BIGINT) AS "mean_price__count",
    min("fastest__min") AS "fastest__min",
    max("latest__max") AS "latest__max",
    bool_and("all_bots__and") AS "all_bots__and",
    bool_or("any_bot__or") AS "any_bot__or",
    CAST(sum("variance__squares") AS DECIMAL(38,0)) AS "variance__squares",
    CAST(sum("spread__squares") AS DECIMAL(38,8)) AS "spread__squares",
    max("last_url__pick") AS "last_url__pick",
    min("smallest__pick") AS "smallest__pick",
    CAST(sum("size__count") AS BIGINT) AS "size__count"
FROM {partials}
GROUP BY 1

-- ---------------------------------------- finalize
SELECT
    "distribution",
    "known__count" AS "known",
    "bots__count" AS "bots",
    (CAST("mean_bytes__sum" AS DOUBLE) / nullif("known__count", 0)) AS "mean_bytes",
    "price__sum" AS "price",
    round((CAST("price__sum" AS DOUBLE) / nullif("mean_price__count", 0)), 2) AS "mean_price",
    "fastest__min" AS "fastest",
    "latest__max" AS "latest",
    "all_bots__and" AS "all_bots",
    "any_bot__or" AS "any_bot",
    ("variance__deviations" / nullif("known__count" - 1, 0)) AS "variance",
    (sqrt("spread__deviations" / nullif("mean_price__count", 0) / CAST(1e8 AS DOUBLE))) AS "spread",
    (struct_extract("last_url__pick", 'arg')) AS "last_url",
    (struct_extract("smallest__pick", 'arg')) AS "smallest",
    CASE WHEN ("size__count" > 10) THEN 'many' ELSE 'few' END AS "size"
FROM (
    SELECT
        *,
        CAST("mean_bytes__sum" AS HUGEINT) // nullif("known__count", 0) AS "variance__quotient",
        CAST("mean_bytes__sum" AS HUGEINT) % nullif("known__count", 0) AS "variance__rest",
        CAST("variance__squares" AS HUGEINT) - "variance__quotient" * (CAST("mean_bytes__sum" AS HUGEINT) + "variance__rest") AS "variance__near",
        CASE WHEN "variance__near" < 1000000000000000000 THEN CAST("variance__near" * "known__count" - "variance__rest" * "variance__rest" AS DOUBLE) / "known__count" ELSE CAST("variance__near" AS DOUBLE) - CAST("variance__rest" * "variance__rest" AS DOUBLE) / "known__count" END AS "variance__deviations",
        CAST(replace(CAST("price__sum" AS VARCHAR), '.', '') AS HUGEINT) // nullif("mean_price__count", 0) AS "spread__quotient",
        CAST(replace(CAST("price__sum" AS VARCHAR), '.', '') AS HUGEINT) % nullif("mean_price__count", 0) AS "spread__rest",
        CAST(replace(CAST("spread__squares" AS VARCHAR), '.', '') AS HUGEINT) - "spread__quotient" * (CAST(replace(CAST("price__sum" AS VARCHAR), '.', '') AS HUGEINT) + "spread__rest") AS "spread__near",
        CASE WHEN "spread__near" < 1000000000000000000 THEN CAST("spread__near" * "mean_price__count" - "spread__rest" * "spread__rest" AS DOUBLE) / "mean_price__count" ELSE CAST("spread__near" AS DOUBLE) - CAST("spread__rest" * "spread__rest" AS DOUBLE) / "mean_price__count" END AS "spread__deviations"
    FROM {combined}
)
