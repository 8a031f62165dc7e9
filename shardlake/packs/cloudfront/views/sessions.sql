-- description: what each viewer with each user agent asked for, minute by minute: to tell bots by what they do
SELECT
    time_bucket(INTERVAL '1 minute', event_time) AS bucket,
    c_ip AS viewer,
    user_agent,
    bool_or(is_bot) AS is_bot,
    count(*) AS requests,
    sum(sc_bytes) AS bytes,
    -- what a page brings with it: by its extension, else by its type
    count(*) FILTER (
        WHERE regexp_matches(
            lower(right(cs_uri_stem, 6)),
            '\.(css|m?js|png|jpe?g|gif|svg|ico|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|m4[asv]|webm|ts|aac|og[gv])$'
        )
        OR regexp_matches(sc_content_type, '^(image|font|audio|video)/|^text/css|javascript')
    ) AS assets,
    -- what a page asks for while it is open
    count(*) FILTER (WHERE ends_with(cs_uri_stem, '.json') OR contains(sc_content_type, 'json')) AS data,
    count(*) FILTER (WHERE cs_referer IS NULL) AS unreferred,
    count(*) FILTER (WHERE cs_method = 'HEAD') AS heads,
    count(*) FILTER (WHERE starts_with(sc_status, '4')) AS errors_4xx,
    count(*) FILTER (WHERE starts_with(sc_status, '5')) AS errors_5xx,
    count(*) FILTER (WHERE cs_uri_stem = '/robots.txt') AS robots,
    -- what is not there and only scanners look for
    count(*) FILTER (
        WHERE starts_with(sc_status, '4')
        AND regexp_matches(
            lower(cs_uri_stem),
            '^/(wp-|xmlrpc|admin|phpmyadmin|cgi-bin/|\.(env|git|aws|ssh))|\.(bak|sql|ini|asp)$|etc/passwd'
        )
    ) AS probes,
    min(left(cs_uri_stem, 200)) AS first_path,
    max(left(cs_uri_stem, 200)) AS last_path
FROM cloudfront
GROUP BY bucket, viewer, user_agent
