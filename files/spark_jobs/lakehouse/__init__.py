"""The jobs of the lakehouse: Kafka to bronze, bronze to silver (SCD2), silver to gold.

The pure steps are in `envelope`, `events`, `scd2` and `models`; what reads and writes is in `bronze`,
`silver`, `silver_table` and `gold`; `pipeline` runs the three side by side.
"""
