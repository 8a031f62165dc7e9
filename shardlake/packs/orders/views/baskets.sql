-- description: what each order has of each kind of goods, per hour; so an order counts while one of its lines is there
SELECT
    time_bucket(INTERVAL '1 hour', ordered_at) AS bucket,
    category,
    invoice,
    count(*) AS lines,
    sum(quantity) AS units,
    sum(quantity * unit_price) AS revenue
FROM orders
GROUP BY bucket, category, invoice
