"""OLTP traffic: the life of a small shop, written to its PostgreSQL database."""
