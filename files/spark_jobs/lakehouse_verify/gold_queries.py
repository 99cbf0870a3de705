"""What each gold model must hold, written down a second time from its description.

`{orders}` stands for the current rows of silver.orders. Void is an order that was cancelled or returned.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """A model's key, and the query over silver's current rows that gives it."""

    key: tuple[str, ...]
    sql: str


_PLACED = "select *, to_date(created_at) as day, status in ('cancelled', 'returned') as void from {orders}"

QUERIES = {
    "sales_by_day": Query(
        ("day",),
        f"""
        with placed as ({_PLACED})
        select day, count(1) as orders, sum(if(status = 'cancelled', 1, 0)) as cancelled_orders,
               sum(if(status = 'returned', 1, 0)) as returned_orders,
               sum(if(void, 0, amount)) as revenue, avg(if(void, null, amount)) as average_order_value
        from placed group by day""",
    ),
    "sales_by_product_day": Query(
        ("day", "product_id"),
        f"""
        with placed as ({_PLACED}),
             sold as (select day, product_id, order_id, sum(quantity) as units,
                             sum(quantity * unit_price) as revenue
                      from placed join {{order_items}} using (order_id)
                      where not void group by day, product_id, order_id)
        select day, product_id, count(1) as orders, sum(units) as units, sum(revenue) as revenue
        from sold group by day, product_id""",
    ),
    "product_performance": Query(
        ("product_id",),
        f"""
        with placed as ({_PLACED}),
             lines as (select product_id, order_id, status, placed.created_at, quantity,
                              quantity * unit_price as value, not void as sold
                       from {{order_items}} join placed using (order_id)),
             sums as (select product_id, count(distinct order_id) filter (where sold) as orders,
                             sum(quantity) filter (where sold) as units,
                             sum(value) filter (where sold) as revenue,
                             sum(quantity) filter (where status = 'returned') as returned_units,
                             max(created_at) filter (where sold) as last_sold_at
                      from lines group by product_id)
        select product_id, sku, name, category, price, coalesce(orders, 0) as orders,
               coalesce(units, 0) as units, coalesce(revenue, 0) as revenue,
               coalesce(returned_units, 0) as returned_units, last_sold_at
        from {{products}} left join sums using (product_id)""",
    ),
    "customer_value": Query(
        ("customer_id",),
        f"""
        with placed as ({_PLACED}),
             sums as (select customer_id, count(1) as orders, sum(if(void, 1, 0)) as void_orders,
                             sum(if(void, 0, amount)) as revenue, avg(if(void, null, amount)) as average,
                             min(created_at) as first_order_at, max(created_at) as last_order_at
                      from placed group by customer_id)
        select customer_id, country, created_at as customer_since, coalesce(orders, 0) as orders,
               coalesce(void_orders, 0) as cancelled_or_returned_orders, coalesce(revenue, 0) as revenue,
               average as average_order_value, first_order_at, last_order_at
        from {{customers}} left join sums using (customer_id)""",
    ),
    "orders_per_minute": Query(
        ("minute",),
        """
        with placed as (select unix_seconds(created_at) as second, amount from {orders})
        select timestamp_seconds(second - pmod(second, 60)) as minute, count(1) as orders,
               sum(amount) as amount
        from placed group by second - pmod(second, 60)""",
    ),
    "kpis": Query(
        ("day",),
        f"""
        with placed as ({_PLACED}),
             joined as (select to_date(created_at) as day, count(1) as new_customers
                        from {{customers}} group by to_date(created_at)),
             ordered as (select day, count(1) as orders, count(distinct customer_id) as ordering_customers,
                                sum(if(void, 0, amount)) as revenue, avg(if(void, null, amount)) as average,
                                sum(if(status = 'delivered', 1, 0)) as delivered,
                                sum(if(status = 'cancelled', 1, 0)) as cancelled
                         from placed group by day),
             sold as (select day, sum(quantity) as units
                      from placed join {{order_items}} using (order_id) where not void group by day)
        select day, coalesce(new_customers, 0) as new_customers, coalesce(orders, 0) as orders,
               coalesce(ordering_customers, 0) as ordering_customers, coalesce(revenue, 0) as revenue,
               average as average_order_value, coalesce(units, 0) as units,
               coalesce(delivered, 0) as delivered_orders,
               cast(cancelled as decimal(20, 0)) / cast(orders as decimal(20, 0)) as cancellation_rate
        from joined full join ordered using (day) left join sold using (day)""",
    ),
}
