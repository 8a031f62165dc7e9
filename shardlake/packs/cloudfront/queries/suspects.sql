-- description: who behaves like a bot, whatever the user agent says: a score from 0 to 100, and the points it is made of
-- views: sessions
WITH knobs AS (  -- copy this file to change them
    SELECT
        INTERVAL '7 days' AS period,  -- up to the newest minute
        30 AS idle_minutes,  -- a longer pause begins a new session
        3 AS requests_min,  -- who asked for less is not judged
        50 AS threshold
),
minute AS (
    SELECT s.*, greatest(requests - assets - data, 0) AS pages
    FROM sessions AS s, knobs
    WHERE bucket > (SELECT max(bucket) FROM sessions) - period
),
-- The minutes in which somebody asked for pages, and the pauses before and after them.
pause AS (
    SELECT
        viewer, user_agent, bucket, pages,
        date_diff('minute', lag(bucket) OVER w, bucket) AS before,
        date_diff('minute', bucket, lead(bucket) OVER w) AS after
    FROM minute
    WHERE pages > 0
    WINDOW w AS (PARTITION BY viewer, user_agent ORDER BY bucket)
),
part AS (
    SELECT
        p.*,
        sum(CASE WHEN before <= idle_minutes THEN 0 ELSE 1 END) OVER w AS session,
        coalesce(before <= idle_minutes AND after <= idle_minutes, false) AS inner_minute,
        median(before) OVER (PARTITION BY viewer, user_agent) AS usual
    FROM pause AS p, knobs
    WINDOW w AS (PARTITION BY viewer, user_agent ORDER BY bucket)
),
-- A session's first and last minute are cut off, so its rate is that of the minutes between them.
session AS (
    SELECT
        viewer, user_agent, session,
        date_diff('minute', min(bucket), max(bucket)) + 1 AS minutes,
        coalesce(sum(pages) FILTER (WHERE inner_minute) / nullif(minutes - 2, 0), 0) AS rate,
        greatest(coalesce(sum(pages * pages) FILTER (WHERE inner_minute) / nullif(minutes - 2, 0), 0) - rate * rate, 0)
            AS variance,
        count(before) AS pauses,
        count(*) FILTER (WHERE before BETWEEN 0.8 * usual AND 1.2 * usual) AS usual_pauses,
        any_value(usual) AS usual
    FROM part
    GROUP BY ALL
),
rhythm AS (
    SELECT
        viewer, user_agent,
        count(*) AS sessions,
        max(minutes) AS longest,
        arg_max(rate, minutes) FILTER (WHERE steady) AS rate,
        arg_max(sqrt(variance), minutes) FILTER (WHERE steady) AS deviation,
        sum(pauses) AS pauses,
        sum(usual_pauses) AS usual_pauses,
        any_value(usual) AS usual
    -- Requests of people who know nothing of each other have a variance of the mean or more, however many they are;
    -- over thirty minutes chance alone gives two fifths of it once in three hundred times.
    FROM (SELECT *, minutes >= 30 AND rate >= 2 AND variance <= 0.4 * rate AS steady FROM session)
    GROUP BY viewer, user_agent
),
total AS (
    SELECT
        viewer, user_agent,
        bool_or(is_bot) AS is_bot,
        sum(requests) AS requests,
        sum(pages) AS pages,
        sum(assets) AS assets,
        sum(unreferred) AS unreferred,
        sum(heads) AS heads,
        sum(errors_4xx) AS errors,
        sum(robots) AS robots,
        sum(probes) AS probes,
        max(pages) AS peak,
        min(first_path) AS first_path,
        min(first_path) = max(last_path) AS one_path,
        min(bucket) AS first_minute,
        max(bucket) AS last_minute
    FROM minute
    GROUP BY viewer, user_agent
),
-- What is usual here: where nobody fetches assets, or sends referrers, lacking them tells nothing.
site AS (
    SELECT
        avg((assets > 0)::INT) >= 0.1 AS has_assets,
        avg((unreferred < requests)::INT) >= 0.1 AS has_referrers
    FROM total
),
judged AS (
    SELECT
        t.*, sessions,
        list_filter([
            {'points': 50, 'why': 'asked for robots.txt', 'holds': robots >= 0.01 * requests AND robots > 0},
            {'points': 50, 'why': format('{:d} paths that scanners try', probes),
                'holds': probes >= 0.01 * requests AND probes > 0},
            {'points': 30, 'why': format('no assets in {:d} pages', pages),
                'holds': has_assets AND NOT one_path AND pages >= 3 AND assets = 0},
            {'points': 15, 'why': format('{:d} assets in {:d} pages', assets, pages),
                'holds': has_assets AND pages >= 10 AND assets BETWEEN 1 AND 0.1 * pages},
            {'points': 25, 'why': format('no referrer in {:d} of {:d} requests', unreferred, requests),
                'holds': has_referrers AND unreferred >= 0.95 * requests},
            {'points': 25, 'why': format('{:d} of {:d} requests failed', errors, requests),
                'holds': requests >= 10 AND errors >= 0.3 * requests},
            {'points': 15, 'why': format('{:d} HEAD requests', heads), 'holds': heads > 0 AND heads >= 0.1 * requests},
            {'points': 20, 'why': format('one path, {:d} times: {}', requests, first_path),
                'holds': one_path AND requests >= 10},
            {'points': 30, 'why': format('steady rate: {:.1f} pages a minute, deviation {:.1f}', rate, deviation),
                'holds': rate IS NOT NULL},
            {'points': 30, 'why': format('{:d} of {:d} pauses are of {:.0f} minutes', usual_pauses, pauses, usual),
                'holds': usual >= 2 AND pauses >= 10 AND usual_pauses >= 0.8 * pauses},
            {'points': 25, 'why': format('{:d} hours without a pause of {:d} minutes', longest // 60, idle_minutes),
                'holds': longest >= 480},
            {'points': 20, 'why': format('{:d} pages in one minute', peak), 'holds': peak >= 30},
            {'points': -30, 'why': format('like a browser: {:d} assets in {:d} pages, with referrers', assets, pages),
                'holds': assets >= pages AND unreferred <= 0.5 * requests}
        ], lambda r: coalesce(r.holds, false)) AS found
    FROM total AS t LEFT JOIN rhythm AS r
        ON r.viewer IS NOT DISTINCT FROM t.viewer AND r.user_agent IS NOT DISTINCT FROM t.user_agent,
        site, knobs
)
SELECT
    viewer,
    greatest(0, least(100, coalesce(list_sum(list_transform(found, lambda r: r.points)), 0)))::INT AS score,
    requests::BIGINT AS requests,
    array_to_string(list_transform(found, lambda r: format('{:+d} {}', r.points, r.why)), '; ') AS reasons,
    is_bot,
    pages::BIGINT AS pages,
    coalesce(sessions, 0) AS sessions,
    first_minute,
    last_minute,
    user_agent
FROM judged, knobs
WHERE score >= threshold AND requests >= requests_min
ORDER BY score DESC, requests DESC, viewer, user_agent
