-- description: Orders placed in each minute (UTC), and their amount, whatever became of them.
-- keys: [minute]
-- changes:
--   orders: SELECT date_trunc('MINUTE', created_at) AS minute FROM {changes}
SELECT
  date_trunc('MINUTE', created_at) AS minute,
  count(*) AS orders,
  cast(sum(amount) AS decimal(22, 2)) AS amount
FROM {orders}
GROUP BY date_trunc('MINUTE', created_at)
