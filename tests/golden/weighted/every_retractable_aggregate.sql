SELECT
    edge,
    count(url) FILTER (WHERE status = 200) AS known,
    count_if(is_bot) AS bots,
    avg(bytes) AS mean_bytes,
    avg(price) AS mean_price,
    sum(seconds) AS seconds,
    avg(seconds) FILTER (WHERE is_bot) AS mean_seconds,
    bool_and(is_bot) AS all_bots,
    bool_or(is_bot) AS any_bot,
    var_samp(bytes) AS variance,
    stddev_pop(price) AS spread,
    approx_quantile(seconds, 0.95) AS slow
FROM requests
GROUP BY edge

-- ---------------------------------------- fingerprint ee96cd3d0fa01e1e, window None None
-- key    edge VARCHAR exact
-- state  _weight BIGINT exact
-- state  known__count BIGINT exact
-- state  bots__true BIGINT exact
-- state  bots__known BIGINT exact
-- state  mean_bytes__sum DECIMAL(38,0) exact
-- state  mean_bytes__count BIGINT exact
-- state  mean_price__sum DECIMAL(38,4) exact
-- state  mean_price__count BIGINT exact
-- state  seconds__sum DOUBLE bounded
-- state  seconds__count BIGINT exact
-- state  seconds__rows BIGINT exact
-- state  seconds__abs DOUBLE bounded
-- state  seconds__nans BIGINT exact
-- state  seconds__ups BIGINT exact
-- state  seconds__downs BIGINT exact
-- state  mean_seconds__sum DOUBLE bounded
-- state  mean_seconds__count BIGINT exact
-- state  mean_seconds__rows BIGINT exact
-- state  mean_seconds__abs DOUBLE bounded
-- state  mean_seconds__nans BIGINT exact
-- state  mean_seconds__ups BIGINT exact
-- state  mean_seconds__downs BIGINT exact
-- state  all_bots__false BIGINT exact
-- state  variance__squares DECIMAL(38,0) exact
-- state  spread__squares DECIMAL(38,8) exact
-- state  slow__bins STRUCT("bin" INTEGER, "n" BIGINT)[] exact
-- output edge VARCHAR exact
-- output known BIGINT exact
-- output bots BIGINT exact
-- output mean_bytes DOUBLE exact
-- output mean_price DOUBLE exact
-- output seconds DOUBLE bounded 2 * "seconds__rows" * 1.1102230246251565e-16 * "seconds__abs"
-- output mean_seconds DOUBLE bounded (2 * "mean_seconds__rows" + 2) * 1.1102230246251565e-16 * "mean_seconds__abs" / nullif(abs("mean_seconds__count"), 0)
-- output all_bots BOOLEAN exact
-- output any_bot BOOLEAN exact
-- output variance DOUBLE exact
-- output spread DOUBLE exact
-- output slow DOUBLE sketch relative error 0.79 %

-- ---------------------------------------- partial
SELECT
    "edge",
    "_weight",
    "known__count",
    "bots__true",
    "bots__known",
    "mean_bytes__sum",
    "mean_bytes__count",
    "mean_price__sum",
    "mean_price__count",
    "seconds__sum",
    "seconds__count",
    "seconds__rows",
    "seconds__abs",
    "seconds__nans",
    "seconds__ups",
    "seconds__downs",
    "mean_seconds__sum",
    "mean_seconds__count",
    "mean_seconds__rows",
    "mean_seconds__abs",
    "mean_seconds__nans",
    "mean_seconds__ups",
    "mean_seconds__downs",
    "all_bots__false",
    "variance__squares",
    "spread__squares",
    (SELECT coalesce(list(struct_pack("bin" := b."bin", "n" := b."n") ORDER BY b."bin"), CAST([] AS STRUCT("bin" INTEGER, "n" BIGINT)[])) FROM (SELECT u."bin" AS "bin", CAST(sum(u."n") AS BIGINT) AS "n" FROM (SELECT unnest(list_concat(coalesce(list_transform(map_entries("slow__bins".added), lambda e: struct_pack("bin" := e."key", "n" := CAST(e."value" AS BIGINT))), CAST([] AS STRUCT("bin" INTEGER, "n" BIGINT)[])), coalesce(list_transform(map_entries("slow__bins".taken), lambda e: struct_pack("bin" := e."key", "n" := -CAST(e."value" AS BIGINT))), CAST([] AS STRUCT("bin" INTEGER, "n" BIGINT)[])))) AS u) GROUP BY 1 HAVING sum(u."n") <> 0) AS b) AS "slow__bins"
FROM (
    SELECT
        "edge",
        CAST(coalesce(sum("_weight"), 0) AS BIGINT) AS "_weight",
        CAST(coalesce(sum("_weight") FILTER (WHERE ("status" = 200) AND ("url") IS NOT NULL), 0) AS BIGINT) AS "known__count",
        CAST(coalesce(sum("_weight") FILTER (WHERE "is_bot"), 0) AS BIGINT) AS "bots__true",
        CAST(coalesce(sum("_weight") FILTER (WHERE ("is_bot") IS NOT NULL), 0) AS BIGINT) AS "bots__known",
        CAST(coalesce(CAST(sum("bytes") FILTER (WHERE "_weight" > 0) AS DECIMAL(38,0)), CAST(0 AS DECIMAL(38,0))) - coalesce(CAST(sum("bytes") FILTER (WHERE "_weight" < 0) AS DECIMAL(38,0)), CAST(0 AS DECIMAL(38,0))) AS DECIMAL(38,0)) AS "mean_bytes__sum",
        CAST(coalesce(sum("_weight") FILTER (WHERE ("bytes") IS NOT NULL), 0) AS BIGINT) AS "mean_bytes__count",
        CAST(coalesce(CAST(sum("price") FILTER (WHERE "_weight" > 0) AS DECIMAL(38,4)), CAST(0 AS DECIMAL(38,4))) - coalesce(CAST(sum("price") FILTER (WHERE "_weight" < 0) AS DECIMAL(38,4)), CAST(0 AS DECIMAL(38,4))) AS DECIMAL(38,4)) AS "mean_price__sum",
        CAST(coalesce(sum("_weight") FILTER (WHERE ("price") IS NOT NULL), 0) AS BIGINT) AS "mean_price__count",
        coalesce(sum("seconds" * "_weight") FILTER (WHERE isfinite("seconds")), CAST(0 AS DOUBLE)) AS "seconds__sum",
        CAST(coalesce(sum("_weight") FILTER (WHERE ("seconds") IS NOT NULL), 0) AS BIGINT) AS "seconds__count",
        count(*) FILTER (WHERE isfinite("seconds")) AS "seconds__rows",
        coalesce(sum(abs("seconds")) FILTER (WHERE isfinite("seconds")), CAST(0 AS DOUBLE)) AS "seconds__abs",
        CAST(coalesce(sum("_weight") FILTER (WHERE isnan("seconds")), 0) AS BIGINT) AS "seconds__nans",
        CAST(coalesce(sum("_weight") FILTER (WHERE "seconds" = CAST('inf' AS DOUBLE)), 0) AS BIGINT) AS "seconds__ups",
        CAST(coalesce(sum("_weight") FILTER (WHERE "seconds" = CAST('-inf' AS DOUBLE)), 0) AS BIGINT) AS "seconds__downs",
        coalesce(sum("seconds" * "_weight") FILTER (WHERE "is_bot" AND isfinite("seconds")), CAST(0 AS DOUBLE)) AS "mean_seconds__sum",
        CAST(coalesce(sum("_weight") FILTER (WHERE "is_bot" AND ("seconds") IS NOT NULL), 0) AS BIGINT) AS "mean_seconds__count",
        count(*) FILTER (WHERE "is_bot" AND isfinite("seconds")) AS "mean_seconds__rows",
        coalesce(sum(abs("seconds")) FILTER (WHERE "is_bot" AND isfinite("seconds")), CAST(0 AS DOUBLE)) AS "mean_seconds__abs",
        CAST(coalesce(sum("_weight") FILTER (WHERE "is_bot" AND isnan("seconds")), 0) AS BIGINT) AS "mean_seconds__nans",
        CAST(coalesce(sum("_weight") FILTER (WHERE "is_bot" AND "seconds" = CAST('inf' AS DOUBLE)), 0) AS BIGINT) AS "mean_seconds__ups",
        CAST(coalesce(sum("_weight") FILTER (WHERE "is_bot" AND "seconds" = CAST('-inf' AS DOUBLE)), 0) AS BIGINT) AS "mean_seconds__downs",
        CAST(coalesce(sum("_weight") FILTER (WHERE NOT ("is_bot")), 0) AS BIGINT) AS "all_bots__false",
        CAST(coalesce(CAST(sum(CAST("bytes" AS HUGEINT) * CAST("bytes" AS HUGEINT)) FILTER (WHERE "_weight" > 0) AS DECIMAL(38,0)), CAST(0 AS DECIMAL(38,0))) - coalesce(CAST(sum(CAST("bytes" AS HUGEINT) * CAST("bytes" AS HUGEINT)) FILTER (WHERE "_weight" < 0) AS DECIMAL(38,0)), CAST(0 AS DECIMAL(38,0))) AS DECIMAL(38,0)) AS "variance__squares",
        CAST(coalesce(CAST(sum(CAST("price" AS DECIMAL(19,4)) * CAST("price" AS DECIMAL(19,4))) FILTER (WHERE "_weight" > 0) AS DECIMAL(38,8)), CAST(0 AS DECIMAL(38,8))) - coalesce(CAST(sum(CAST("price" AS DECIMAL(19,4)) * CAST("price" AS DECIMAL(19,4))) FILTER (WHERE "_weight" < 0) AS DECIMAL(38,8)), CAST(0 AS DECIMAL(38,8))) AS DECIMAL(38,8)) AS "spread__squares",
        struct_pack(added := histogram(CAST(CASE WHEN "slow__magnitude" < 64 THEN 0 WHEN "slow__value" < 0 THEN -"slow__magnitude" ELSE "slow__magnitude" END AS INTEGER)) FILTER (WHERE "slow__value" IS NOT NULL AND "_weight" > 0), taken := histogram(CAST(CASE WHEN "slow__magnitude" < 64 THEN 0 WHEN "slow__value" < 0 THEN -"slow__magnitude" ELSE "slow__magnitude" END AS INTEGER)) FILTER (WHERE "slow__value" IS NOT NULL AND "_weight" < 0)) AS "slow__bins"
    FROM (
        SELECT
            *,
            "seconds" AS "slow__value",
            (CAST(CAST("slow__value" AS BIT) AS BIGINT) & 9223372036854775807) >> 46 AS "slow__magnitude"
        FROM {events}
    )
    WHERE NOT "_duplicate"
    GROUP BY 1
)

-- ---------------------------------------- combine
SELECT
    "edge",
    "_weight",
    "known__count",
    "bots__true",
    "bots__known",
    "mean_bytes__sum",
    "mean_bytes__count",
    "mean_price__sum",
    "mean_price__count",
    "seconds__sum",
    "seconds__count",
    "seconds__rows",
    "seconds__abs",
    "seconds__nans",
    "seconds__ups",
    "seconds__downs",
    "mean_seconds__sum",
    "mean_seconds__count",
    "mean_seconds__rows",
    "mean_seconds__abs",
    "mean_seconds__nans",
    "mean_seconds__ups",
    "mean_seconds__downs",
    "all_bots__false",
    "variance__squares",
    "spread__squares",
    (SELECT coalesce(list(struct_pack("bin" := b."bin", "n" := b."n") ORDER BY b."bin"), CAST([] AS STRUCT("bin" INTEGER, "n" BIGINT)[])) FROM (SELECT u."bin" AS "bin", CAST(sum(u."n") AS BIGINT) AS "n" FROM (SELECT unnest("slow__bins") AS u) GROUP BY 1 HAVING sum(u."n") <> 0) AS b) AS "slow__bins"
FROM (
    SELECT
        "edge",
        CAST(sum("_weight") AS BIGINT) AS "_weight",
        CAST(sum("known__count") AS BIGINT) AS "known__count",
        CAST(sum("bots__true") AS BIGINT) AS "bots__true",
        CAST(sum("bots__known") AS BIGINT) AS "bots__known",
        CAST(sum("mean_bytes__sum") AS DECIMAL(38,0)) AS "mean_bytes__sum",
        CAST(sum("mean_bytes__count") AS BIGINT) AS "mean_bytes__count",
        CAST(sum("mean_price__sum") AS DECIMAL(38,4)) AS "mean_price__sum",
        CAST(sum("mean_price__count") AS BIGINT) AS "mean_price__count",
        sum("seconds__sum") AS "seconds__sum",
        CAST(sum("seconds__count") AS BIGINT) AS "seconds__count",
        CAST(sum("seconds__rows") AS BIGINT) AS "seconds__rows",
        sum("seconds__abs") AS "seconds__abs",
        CAST(sum("seconds__nans") AS BIGINT) AS "seconds__nans",
        CAST(sum("seconds__ups") AS BIGINT) AS "seconds__ups",
        CAST(sum("seconds__downs") AS BIGINT) AS "seconds__downs",
        sum("mean_seconds__sum") AS "mean_seconds__sum",
        CAST(sum("mean_seconds__count") AS BIGINT) AS "mean_seconds__count",
        CAST(sum("mean_seconds__rows") AS BIGINT) AS "mean_seconds__rows",
        sum("mean_seconds__abs") AS "mean_seconds__abs",
        CAST(sum("mean_seconds__nans") AS BIGINT) AS "mean_seconds__nans",
        CAST(sum("mean_seconds__ups") AS BIGINT) AS "mean_seconds__ups",
        CAST(sum("mean_seconds__downs") AS BIGINT) AS "mean_seconds__downs",
        CAST(sum("all_bots__false") AS BIGINT) AS "all_bots__false",
        CAST(sum("variance__squares") AS DECIMAL(38,0)) AS "variance__squares",
        CAST(sum("spread__squares") AS DECIMAL(38,8)) AS "spread__squares",
        flatten(list("slow__bins")) AS "slow__bins"
    FROM {partials}
    GROUP BY 1
)

-- ---------------------------------------- finalize
SELECT
    "edge",
    "known__count" AS "known",
    (CASE WHEN "bots__known" <> 0 THEN "bots__true" END) AS "bots",
    (CAST(CAST("mean_bytes__sum" AS BIGINT) AS DOUBLE) / nullif("mean_bytes__count", 0)) AS "mean_bytes",
    (CAST(CAST("mean_price__sum" AS DECIMAL(38,4)) AS DOUBLE) / nullif("mean_price__count", 0)) AS "mean_price",
    "seconds__total" AS "seconds",
    ("mean_seconds__total" / nullif("mean_seconds__count", 0)) AS "mean_seconds",
    (CASE WHEN "all_bots__false" > 0 THEN false WHEN "bots__true" > 0 THEN true END) AS "all_bots",
    (CASE WHEN "bots__true" > 0 THEN true WHEN "all_bots__false" > 0 THEN false END) AS "any_bot",
    (CASE WHEN "mean_bytes__count" > 0 AND "variance__deviations" >= 0 THEN "variance__deviations" / nullif("mean_bytes__count" - 1, 0) END) AS "variance",
    (CASE WHEN "mean_price__count" > 0 AND "spread__deviations" >= 0 THEN sqrt("spread__deviations" / nullif("mean_price__count", 0) / CAST(1e8 AS DOUBLE)) END) AS "spread",
    (CASE WHEN coalesce(list_sum(list_transform("slow__bins", lambda b: b."n")), 0) > 0 THEN CASE WHEN len("slow__bins") = 0 THEN NULL WHEN "slow__bin" = 0 THEN 0 WHEN isinf("slow__low") OR isnan("slow__low") THEN sign("slow__bin") * "slow__low" ELSE sign("slow__bin") * ("slow__low" + ("slow__high" - "slow__low") / 2) END END) AS "slow"
FROM (
    SELECT
        *,
        CASE WHEN "seconds__count" = 0 THEN NULL WHEN "seconds__nans" > 0 OR ("seconds__ups" > 0 AND "seconds__downs" > 0) THEN CAST('nan' AS DOUBLE) WHEN "seconds__ups" > 0 THEN CAST('inf' AS DOUBLE) WHEN "seconds__downs" > 0 THEN CAST('-inf' AS DOUBLE) ELSE "seconds__sum" END AS "seconds__total",
        CASE WHEN "mean_seconds__count" = 0 THEN NULL WHEN "mean_seconds__nans" > 0 OR ("mean_seconds__ups" > 0 AND "mean_seconds__downs" > 0) THEN CAST('nan' AS DOUBLE) WHEN "mean_seconds__ups" > 0 THEN CAST('inf' AS DOUBLE) WHEN "mean_seconds__downs" > 0 THEN CAST('-inf' AS DOUBLE) ELSE "mean_seconds__sum" END AS "mean_seconds__total",
        CAST("mean_bytes__sum" AS HUGEINT) // nullif("mean_bytes__count", 0) AS "variance__quotient",
        CAST("mean_bytes__sum" AS HUGEINT) % nullif("mean_bytes__count", 0) AS "variance__rest",
        CAST("variance__squares" AS HUGEINT) - "variance__quotient" * (CAST("mean_bytes__sum" AS HUGEINT) + "variance__rest") AS "variance__near",
        CASE WHEN "variance__near" < 1000000000000000000 THEN CAST("variance__near" * "mean_bytes__count" - "variance__rest" * "variance__rest" AS DOUBLE) / "mean_bytes__count" ELSE CAST("variance__near" AS DOUBLE) - CAST("variance__rest" * "variance__rest" AS DOUBLE) / "mean_bytes__count" END AS "variance__deviations",
        CAST(replace(CAST("mean_price__sum" AS VARCHAR), '.', '') AS HUGEINT) // nullif("mean_price__count", 0) AS "spread__quotient",
        CAST(replace(CAST("mean_price__sum" AS VARCHAR), '.', '') AS HUGEINT) % nullif("mean_price__count", 0) AS "spread__rest",
        CAST(replace(CAST("spread__squares" AS VARCHAR), '.', '') AS HUGEINT) - "spread__quotient" * (CAST(replace(CAST("mean_price__sum" AS VARCHAR), '.', '') AS HUGEINT) + "spread__rest") AS "spread__near",
        CASE WHEN "spread__near" < 1000000000000000000 THEN CAST("spread__near" * "mean_price__count" - "spread__rest" * "spread__rest" AS DOUBLE) / "mean_price__count" ELSE CAST("spread__near" AS DOUBLE) - CAST("spread__rest" * "spread__rest" AS DOUBLE) / "mean_price__count" END AS "spread__deviations",
        CAST(greatest((CAST(list_sum(list_transform("slow__bins", lambda b: b."n")) AS HUGEINT) * 95 + 99) // 100, 1) AS BIGINT) AS "slow__rank",
        list_reduce("slow__bins", lambda a, b: CASE WHEN a."n" >= 0 THEN a ELSE struct_pack("bin" := b."bin", "n" := a."n" + b."n") END, struct_pack("bin" := CAST(0 AS INTEGER), "n" := -"slow__rank"))."bin" AS "slow__bin",
        CAST(CAST(CAST(abs("slow__bin") AS BIGINT) << 46 AS BIT) AS DOUBLE) AS "slow__low",
        CAST(CAST(CAST(abs("slow__bin") + 1 AS BIGINT) << 46 AS BIT) AS DOUBLE) AS "slow__high"
    FROM {combined}
    WHERE "_weight" <> 0
)
