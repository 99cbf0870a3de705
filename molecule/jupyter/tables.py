"""Makes the tables that the worked notebook reads, with three versions of an order in them."""

from pyspark.sql import SparkSession

TABLES = {
    "silver/orders": """
        SELECT * FROM VALUES
          (7L, 'placed', 21.75, timestamp '2026-03-01 10:00:00', timestamp '2026-03-01 11:00:00', false, 1),
          (7L, 'paid', 21.75, timestamp '2026-03-01 11:00:00', timestamp '2026-03-01 13:00:00', false, 2),
          (7L, 'shipped', 21.75, timestamp '2026-03-01 13:00:00', null, true, 3),
          (8L, 'placed', 5.00, timestamp '2026-03-01 09:00:00', null, true, 1)
        AS orders (order_id, status, amount, valid_from, valid_to, is_current, version)""",
    "bronze/change_events": "SELECT timestamp '2026-03-01 13:00:00' AS source_ts",
    "gold/kpis": "SELECT date '2026-03-01' AS day, 2L AS orders, cast(26.75 AS decimal(22, 2)) AS revenue",
}

spark = SparkSession.builder.getOrCreate()
for name, query in TABLES.items():
    spark.sql(query).write.format("delta").mode("overwrite").save(f"file:///lake/{name}")
