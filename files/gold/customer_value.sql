-- description: >-
--   What each customer has ordered so far; customers without orders are there too. Revenue and average leave out cancelled and
--   returned orders.
-- keys: [customer_id]
-- changes:
--   customers: SELECT customer_id FROM {changes}
--   orders: SELECT customer_id FROM {changes}
SELECT
  customer_id,
  max(country) AS country,
  max(since) AS customer_since,
  count(status) AS orders,
  count_if(status IN ('cancelled', 'returned')) AS cancelled_or_returned_orders,
  cast(coalesce(sum(amount) FILTER (WHERE status NOT IN ('cancelled', 'returned')), 0) AS decimal(22, 2)) AS revenue,
  cast(avg(amount) FILTER (WHERE status NOT IN ('cancelled', 'returned')) AS decimal(16, 2)) AS average_order_value,
  min(ordered_at) AS first_order_at,
  max(ordered_at) AS last_order_at
FROM (
  SELECT
    customer_id, country, created_at AS since,
    cast(NULL AS string) AS status, cast(NULL AS decimal(12, 2)) AS amount, cast(NULL AS timestamp) AS ordered_at
  FROM {customers}
  UNION ALL
  SELECT customer_id, NULL, NULL, status, amount, created_at FROM {orders}
)
GROUP BY customer_id
HAVING max(since) IS NOT NULL
