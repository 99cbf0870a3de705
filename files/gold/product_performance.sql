-- description: >-
--   How each product has sold so far; products that never sold are there too. Units and revenue leave out cancelled and
--   returned orders, returned_units counts the returned ones.
-- keys: [product_id]
-- changes:
--   products: SELECT product_id FROM {changes}
--   orders: SELECT i.product_id FROM {changes} o JOIN {order_items} i ON i.order_id = o.order_id
--   order_items: SELECT product_id FROM {changes}
SELECT
  product_id,
  max(sku) AS sku,
  max(name) AS name,
  max(category) AS category,
  max(price) AS price,
  count(DISTINCT sold_order) AS orders,
  sum(units) AS units,
  cast(sum(revenue) AS decimal(22, 2)) AS revenue,
  sum(returned_units) AS returned_units,
  max(sold_at) AS last_sold_at
FROM (
  SELECT
    product_id, sku, name, category, price,
    cast(NULL AS bigint) AS sold_order, 0 AS units, cast(0 AS decimal(22, 2)) AS revenue, 0 AS returned_units,
    cast(NULL AS timestamp) AS sold_at
  FROM {products}
  UNION ALL
  SELECT
    i.product_id, NULL, NULL, NULL, NULL,
    CASE WHEN o.status NOT IN ('cancelled', 'returned') THEN o.order_id END,
    CASE WHEN o.status NOT IN ('cancelled', 'returned') THEN i.quantity ELSE 0 END,
    CASE WHEN o.status NOT IN ('cancelled', 'returned') THEN i.quantity * i.unit_price ELSE 0 END,
    CASE WHEN o.status = 'returned' THEN i.quantity ELSE 0 END,
    CASE WHEN o.status NOT IN ('cancelled', 'returned') THEN o.created_at END
  FROM {order_items} i
  JOIN {orders} o ON o.order_id = i.order_id
)
GROUP BY product_id
HAVING max(sku) IS NOT NULL
