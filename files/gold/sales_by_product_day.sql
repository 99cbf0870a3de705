-- description: Units and revenue of each product on each day (UTC) it was ordered, without cancelled and returned orders.
-- keys: [day, product_id]
-- changes:
--   orders: SELECT date(o.created_at) AS day, i.product_id FROM {changes} o JOIN {order_items} i ON i.order_id = o.order_id
--   order_items: SELECT date(o.created_at) AS day, i.product_id FROM {changes} i JOIN {orders} o ON o.order_id = i.order_id
SELECT
  date(o.created_at) AS day,
  i.product_id,
  count(DISTINCT o.order_id) AS orders,
  sum(i.quantity) AS units,
  cast(sum(i.quantity * i.unit_price) AS decimal(22, 2)) AS revenue
FROM {order_items} i
JOIN {orders} o ON o.order_id = i.order_id
WHERE o.status NOT IN ('cancelled', 'returned')
GROUP BY date(o.created_at), i.product_id
