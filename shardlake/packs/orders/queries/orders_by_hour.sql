-- description: orders per hour, whatever is in them, their revenue, and the mean of an order
-- views: baskets
SELECT
    bucket,
    count(DISTINCT invoice) AS orders,
    sum(revenue) AS revenue,
    round(sum(revenue) / count(DISTINCT invoice), 2) AS mean
FROM baskets
GROUP BY bucket
ORDER BY bucket
