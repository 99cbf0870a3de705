"""The shop's database. Where it is, and the password, libpq takes from the environment (PGHOST …)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from data_generator.actions import (
    Action,
    AddProduct,
    ChangePrice,
    CloseAccount,
    DeleteOrder,
    Move,
    PlaceOrder,
    SetActive,
    SetStatus,
    SignUp,
)
from data_generator.shop import Bounds, Order, Product, Shop

Unavailable = (psycopg2.OperationalError, psycopg2.InterfaceError)


class ChangedElsewhere(Exception):
    """A row is not as the shop knew it: somebody else writes too."""


class Database:
    """One connection. Nothing in it waits for long, so that the program can be stopped."""

    def __init__(self) -> None:
        """Connect."""
        self._connection = psycopg2.connect(
            application_name="data-generator",
            connect_timeout=2,
            options="-c statement_timeout=2s",
            tcp_user_timeout=2000,
        )

    def __enter__(self) -> Database:
        """Use as a context: it is closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close; what was not committed is rolled back by the server."""
        self._connection.close()

    def load(self, bounds: Bounds) -> Shop:
        """The shop as it is."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SELECT customer_id, country FROM customers ORDER BY customer_id")
            customers = dict(cursor.fetchall())
            cursor.execute("SELECT product_id, price, active FROM products ORDER BY product_id")
            products = {key: Product(price, active) for key, price, active in cursor}
            cursor.execute("SELECT order_id, customer_id, status FROM orders ORDER BY order_id")
            orders = {key: Order(customer_id, status) for key, customer_id, status in cursor}
        return Shop(bounds, customers, products, orders)

    def commit(self, actions: Iterable[Action], record: Callable[[Action, int], None]) -> None:
        """Run the actions in one transaction.

        Args:
            actions: What happens; the next is asked for when the one before is recorded.
            record: Told of each action with the key of the row that it was about.

        Raises:
            ChangedElsewhere: Something is not as expected; nothing was changed.
        """
        try:
            with self._connection, self._connection.cursor() as cursor:
                for action in actions:
                    record(action, _run(cursor, action))
        except psycopg2.IntegrityError as error:
            raise ChangedElsewhere(str(error).strip()) from error


def _run(cursor: Any, action: Action) -> int:
    match action:
        case SignUp():
            sql = (
                "INSERT INTO customers (name, email, country, created_at) "
                "VALUES (%(name)s, %(email)s, %(country)s, now() - make_interval(secs => %(age)s)) "
                "RETURNING customer_id"
            )
        case Move():
            sql = (
                "UPDATE customers SET country = %(country)s, updated_at = now() "
                "WHERE customer_id = %(customer_id)s RETURNING customer_id"
            )
        case CloseAccount():
            sql = "DELETE FROM customers WHERE customer_id = %(customer_id)s RETURNING customer_id"
        case AddProduct():
            sql = (
                "INSERT INTO products (sku, name, category, price, created_at) "
                "VALUES (%(sku)s, %(name)s, %(category)s, %(price)s, now() - make_interval(secs => %(age)s)) "
                "RETURNING product_id"
            )
        case ChangePrice():
            sql = (
                "UPDATE products SET price = %(price)s, updated_at = now() "
                "WHERE product_id = %(product_id)s RETURNING product_id"
            )
        case SetActive():
            sql = (
                "UPDATE products SET active = %(active)s, updated_at = now() "
                "WHERE product_id = %(product_id)s RETURNING product_id"
            )
        case PlaceOrder():
            return _place(cursor, action)
        case SetStatus():
            sql = (
                "UPDATE orders SET status = %(after)s, updated_at = now() "
                "WHERE order_id = %(order_id)s AND status = %(before)s RETURNING order_id"
            )
        case DeleteOrder():
            sql = "DELETE FROM orders WHERE order_id = %(order_id)s RETURNING order_id"
    return _one(cursor, sql, vars(action), action)


def _place(cursor: Any, order: PlaceOrder) -> int:
    order_id = _one(
        cursor,
        "INSERT INTO orders (customer_id, amount, note, status, created_at) "
        "VALUES (%(customer_id)s, %(amount)s, %(note)s, %(status)s, now() - make_interval(secs => %(age)s)) "
        "RETURNING order_id",
        {**vars(order), "amount": order.amount},
        order,
    )
    execute_values(
        cursor,
        "INSERT INTO order_items (order_id, line_no, product_id, quantity, unit_price) VALUES %s",
        [
            (order_id, line, item.product_id, item.quantity, item.unit_price)
            for line, item in enumerate(order.items, start=1)
        ],
    )
    return order_id


def _one(cursor: Any, sql: str, values: dict[str, Any], action: Action) -> int:
    cursor.execute(sql, values)
    row = cursor.fetchone()
    if row is None:
        raise ChangedElsewhere(f"{action} found no such row")
    key: int = row[0]
    return key
