-- description: lines, units and revenue per hour and kind of goods, of the lines that are in the table
SELECT
    time_bucket(INTERVAL '1 hour', ordered_at) AS bucket,
    category,
    count(*) AS lines,
    sum(quantity) AS units,
    sum(quantity * unit_price) AS revenue
FROM orders
GROUP BY bucket, category
