-- description: >-
--   Sales of each day (UTC) on which orders were placed. Revenue and average leave out cancelled and returned orders;
--   amounts are in the shop's one currency.
-- keys: [day]
-- changes:
--   orders: SELECT date(created_at) AS day FROM {changes}
SELECT
  date(created_at) AS day,
  count(*) AS orders,
  count_if(status = 'cancelled') AS cancelled_orders,
  count_if(status = 'returned') AS returned_orders,
  cast(coalesce(sum(amount) FILTER (WHERE status NOT IN ('cancelled', 'returned')), 0) AS decimal(22, 2)) AS revenue,
  cast(avg(amount) FILTER (WHERE status NOT IN ('cancelled', 'returned')) AS decimal(16, 2)) AS average_order_value
FROM {orders}
GROUP BY date(created_at)
