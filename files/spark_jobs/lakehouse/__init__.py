"""The jobs of the lakehouse: Kafka to bronze, bronze to silver (SCD2), silver to gold.

Pure steps from DataFrame to DataFrame are in `envelope`, `scd2` and `models`; what reads and writes is in
`bronze`, `silver` and `gold`; `pipeline` runs the three side by side.
"""
