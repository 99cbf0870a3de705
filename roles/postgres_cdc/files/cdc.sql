-- Written by Debezium, so that its slot moves on while nothing else happens.
CREATE SCHEMA IF NOT EXISTS cdc;
CREATE TABLE IF NOT EXISTS cdc.heartbeat (
    id int PRIMARY KEY,
    beat timestamptz NOT NULL
);

-- Debezium's store of offsets, in its own layout.
CREATE TABLE IF NOT EXISTS cdc.offsets (
    id varchar(36) PRIMARY KEY,
    offset_key varchar(1255),
    offset_val varchar(1255),
    record_insert_ts timestamp NOT NULL,
    record_insert_seq int NOT NULL
);
