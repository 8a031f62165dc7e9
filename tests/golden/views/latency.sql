-- sketches and doubles, which state their bounds
SELECT
    time_bucket(INTERVAL '5 minutes', "time") AS at_five,
    sum(seconds) AS seconds,
    approx_quantile(seconds, 0.95) AS p95,
    approx_quantile(seconds, 0.5) AS p50,
    approx_count_distinct(viewer) AS viewers,
    stddev(seconds) AS spread
FROM requests
GROUP BY at_five

-- ---------------------------------------- fingerprint 039b4a4d55bed3ca, window at_five 300000000
-- key    at_five TIMESTAMP exact
-- state  seconds__sum DOUBLE bounded
-- state  seconds__count BIGINT exact
-- state  seconds__abs DOUBLE bounded
-- state  p95__bins STRUCT("bin" INTEGER, "n" BIGINT)[] exact
-- state  viewers__registers INTEGER[] exact
-- state  spread__mean DOUBLE bounded
-- state  spread__m2 DOUBLE bounded
-- output at_five TIMESTAMP exact
-- output seconds DOUBLE bounded 2 * "seconds__count" * 1.1102230246251565e-16 * "seconds__abs"
-- output p95 DOUBLE sketch relative error 0.79 %
-- output p50 DOUBLE sketch relative error 0.79 %
-- output viewers BIGINT sketch relative standard error 1.15 %
-- output spread DOUBLE bounded least(sqrt(8 * "seconds__count" * 1.1102230246251565e-16 * (sqrt("spread__m2" * ("spread__m2" + "seconds__count" * "spread__mean" * "spread__mean")) + "seconds__count" * 1.1102230246251565e-16 * ("spread__m2" + "seconds__count" * "spread__mean" * "spread__mean")) / nullif("seconds__count" - 1, 0)), 8 * "seconds__count" * 1.1102230246251565e-16 * (sqrt("spread__m2" * ("spread__m2" + "seconds__count" * "spread__mean" * "spread__mean")) + "seconds__count" * 1.1102230246251565e-16 * ("spread__m2" + "seconds__count" * "spread__mean" * "spread__mean")) / nullif("seconds__count" - 1, 0) / nullif(sqrt("spread__m2" / nullif("seconds__count" - 1, 0)), 0))

-- ---------------------------------------- partial
SELECT
    "at_five",
    "seconds__sum",
    "seconds__count",
    "seconds__abs",
    coalesce(list_transform(map_entries("p95__bins"), lambda e: struct_pack("bin" := e."key", "n" := CAST(e."value" AS BIGINT))), CAST([] AS STRUCT("bin" INTEGER, "n" BIGINT)[])) AS "p95__bins",
    coalesce(list_filter("viewers__registers", lambda c, i: i = len("viewers__registers") OR "viewers__registers"[i + 1] >> 6 <> c >> 6), CAST([] AS INTEGER[])) AS "viewers__registers",
    "spread__mean",
    "spread__m2"
FROM (
    SELECT
        time_bucket(INTERVAL '5 minutes', "time") AS "at_five",
        sum("seconds") AS "seconds__sum",
        count("seconds") AS "seconds__count",
        sum(abs("seconds")) AS "seconds__abs",
        histogram(CAST(CASE WHEN "p95__magnitude" < 64 THEN 0 WHEN "p95__value" < 0 THEN -"p95__magnitude" ELSE "p95__magnitude" END AS INTEGER)) FILTER (WHERE "p95__value" IS NOT NULL) AS "p95__bins",
        list_sort(list(CAST(("viewers__hash" & 8191) * 64 + bit_count(xor("viewers__rest", "viewers__rest" - 1)) AS INTEGER)) FILTER (WHERE "viewers__hash" IS NOT NULL)) AS "viewers__registers",
        avg("seconds") AS "spread__mean",
        var_pop("seconds") * count("seconds") AS "spread__m2"
    FROM (
        SELECT
            *,
            "seconds" AS "p95__value",
            (CAST(CAST("p95__value" AS BIT) AS BIGINT) & 9223372036854775807) >> 46 AS "p95__magnitude",
            CAST('0x' || left(md5("viewer"), 15) AS BIGINT) AS "viewers__hash",
            ("viewers__hash" >> 13) | 140737488355328 AS "viewers__rest"
        FROM {events}
    )
    WHERE NOT "_duplicate"
    GROUP BY 1
)

-- ---------------------------------------- combine
SELECT
    "at_five",
    "seconds__sum",
    "seconds__count",
    "seconds__abs",
    (SELECT coalesce(list(struct_pack("bin" := b."bin", "n" := b."n") ORDER BY b."bin"), CAST([] AS STRUCT("bin" INTEGER, "n" BIGINT)[])) FROM (SELECT u."bin" AS "bin", CAST(sum(u."n") AS BIGINT) AS "n" FROM (SELECT unnest("p95__bins") AS u) GROUP BY 1) AS b) AS "p95__bins",
    coalesce(list_filter("viewers__registers", lambda c, i: i = len("viewers__registers") OR "viewers__registers"[i + 1] >> 6 <> c >> 6), CAST([] AS INTEGER[])) AS "viewers__registers",
    "spread__mean",
    list_sum(list_transform("spread__m2", lambda p: p."m2" + p."count" * (p."mean" - "spread__mean") * (p."mean" - "spread__mean"))) AS "spread__m2"
FROM (
    SELECT
        "at_five",
        sum("seconds__sum") AS "seconds__sum",
        CAST(sum("seconds__count") AS BIGINT) AS "seconds__count",
        sum("seconds__abs") AS "seconds__abs",
        flatten(list("p95__bins")) AS "p95__bins",
        list_sort(flatten(list("viewers__registers"))) AS "viewers__registers",
        sum("seconds__count" * "spread__mean") / nullif(sum("seconds__count"), 0) AS "spread__mean",
        list(struct_pack("count" := "seconds__count", "mean" := "spread__mean", "m2" := "spread__m2")) AS "spread__m2"
    FROM {partials}
    GROUP BY 1
)

-- ---------------------------------------- finalize
SELECT
    "at_five",
    "seconds__sum" AS "seconds",
    (CASE WHEN len("p95__bins") = 0 THEN NULL WHEN "p95__bin" = 0 THEN 0 WHEN isinf("p95__low") OR isnan("p95__low") THEN sign("p95__bin") * "p95__low" ELSE sign("p95__bin") * ("p95__low" + ("p95__high" - "p95__low") / 2) END) AS "p95",
    (CASE WHEN len("p95__bins") = 0 THEN NULL WHEN "p50__bin" = 0 THEN 0 WHEN isinf("p50__low") OR isnan("p50__low") THEN sign("p50__bin") * "p50__low" ELSE sign("p50__bin") * ("p50__low" + ("p50__high" - "p50__low") / 2) END) AS "p50",
    (CASE WHEN len("viewers__registers") = 0 THEN 0 ELSE CAST(round(CAST(0.7213475204444817 AS DOUBLE) * 67108864 / ("viewers__used" + 8192 * "viewers__sigma")) AS BIGINT) END) AS "viewers",
    (sqrt("spread__m2" / nullif("seconds__count" - 1, 0))) AS "spread"
FROM (
    SELECT
        *,
        CAST(greatest((CAST(list_sum(list_transform("p95__bins", lambda b: b."n")) AS HUGEINT) * 95 + 99) // 100, 1) AS BIGINT) AS "p95__rank",
        list_reduce("p95__bins", lambda a, b: CASE WHEN a."n" >= 0 THEN a ELSE struct_pack("bin" := b."bin", "n" := a."n" + b."n") END, struct_pack("bin" := CAST(0 AS INTEGER), "n" := -"p95__rank"))."bin" AS "p95__bin",
        CAST(CAST(CAST(abs("p95__bin") AS BIGINT) << 46 AS BIT) AS DOUBLE) AS "p95__low",
        CAST(CAST(CAST(abs("p95__bin") + 1 AS BIGINT) << 46 AS BIT) AS DOUBLE) AS "p95__high",
        CAST(greatest((CAST(list_sum(list_transform("p95__bins", lambda b: b."n")) AS HUGEINT) * 5 + 9) // 10, 1) AS BIGINT) AS "p50__rank",
        list_reduce("p95__bins", lambda a, b: CASE WHEN a."n" >= 0 THEN a ELSE struct_pack("bin" := b."bin", "n" := a."n" + b."n") END, struct_pack("bin" := CAST(0 AS INTEGER), "n" := -"p50__rank"))."bin" AS "p50__bin",
        CAST(CAST(CAST(abs("p50__bin") AS BIGINT) << 46 AS BIT) AS DOUBLE) AS "p50__low",
        CAST(CAST(CAST(abs("p50__bin") + 1 AS BIGINT) << 46 AS BIT) AS DOUBLE) AS "p50__high",
        coalesce(list_sum(list_transform("viewers__registers", lambda c: CAST(1 AS BIGINT) << (48 - (c & 63)))), 0) / CAST(281474976710656 AS DOUBLE) AS "viewers__used",
        1 - len("viewers__registers") / CAST(8192 AS DOUBLE) AS "viewers__empty",
        list_reduce(repeat([struct_pack(power := CAST(0 AS DOUBLE), weight := CAST(0 AS DOUBLE), total := CAST(0 AS DOUBLE))], 20), lambda s, _: struct_pack(power := s.power * s.power, weight := s.weight * 2, total := s.total + s.power * s.power * s.weight), struct_pack(power := "viewers__empty", weight := CAST(1 AS DOUBLE), total := "viewers__empty")).total AS "viewers__sigma"
    FROM {combined}
)
