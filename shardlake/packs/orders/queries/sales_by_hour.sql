-- description: revenue, units and orders per hour and kind of goods
-- views: baskets
SELECT
    bucket,
    category,
    sum(revenue) AS revenue,
    sum(units)::BIGINT AS units,
    count(*) AS orders,
    sum(lines)::BIGINT AS lines
FROM baskets
GROUP BY bucket, category
ORDER BY bucket, revenue DESC, category
