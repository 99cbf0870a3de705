-- description: >-
--   The shop's key figures for each day (UTC): new customers, and of the orders placed that day their number, revenue and fate.
--   Revenue, average and units leave out cancelled and returned orders; the cancellation rate is a share from 0 to 1.
-- keys: [day]
-- changes:
--   customers: SELECT date(created_at) AS day FROM {changes}
--   orders: SELECT date(created_at) AS day FROM {changes}
--   order_items: SELECT date(o.created_at) AS day FROM {changes} i JOIN {orders} o ON o.order_id = i.order_id
SELECT
  day,
  sum(new_customers) AS new_customers,
  count(status) AS orders,
  count(DISTINCT customer_id) AS ordering_customers,
  cast(coalesce(sum(amount) FILTER (WHERE status NOT IN ('cancelled', 'returned')), 0) AS decimal(22, 2)) AS revenue,
  cast(avg(amount) FILTER (WHERE status NOT IN ('cancelled', 'returned')) AS decimal(16, 2)) AS average_order_value,
  sum(units) AS units,
  count_if(status = 'delivered') AS delivered_orders,
  cast(count_if(status = 'cancelled') / cast(nullif(count(status), 0) AS decimal(20, 0)) AS decimal(5, 4)) AS cancellation_rate
FROM (
  SELECT
    date(created_at) AS day, 1 AS new_customers, cast(NULL AS bigint) AS customer_id,
    cast(NULL AS string) AS status, cast(NULL AS decimal(12, 2)) AS amount, 0 AS units
  FROM {customers}
  UNION ALL
  SELECT date(created_at), 0, customer_id, status, amount, 0 FROM {orders}
  UNION ALL
  SELECT date(o.created_at), 0, NULL, NULL, NULL, i.quantity
  FROM {order_items} i
  JOIN {orders} o ON o.order_id = i.order_id
  WHERE o.status NOT IN ('cancelled', 'returned')
)
GROUP BY day
