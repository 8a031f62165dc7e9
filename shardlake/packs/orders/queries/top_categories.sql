-- description: kinds of goods by revenue, with the number of orders that hold any
-- views: baskets
SELECT
    category,
    sum(revenue) AS revenue,
    sum(units)::BIGINT AS units,
    count(DISTINCT invoice) AS orders,
    round(100 * sum(revenue) / sum(sum(revenue)) OVER (), 2) AS percent
FROM baskets
GROUP BY category
ORDER BY revenue DESC, category
