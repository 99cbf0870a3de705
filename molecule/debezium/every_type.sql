CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'it''s fine');
CREATE TABLE every_type (
    id bigint PRIMARY KEY,
    secret text DEFAULT 'stays here', "c[1], $ (é)" text DEFAULT 'stays here, too',
    c_boolean boolean, c_smallint smallint, c_integer integer, c_bigint bigint, c_real real, c_double double precision,
    c_numeric numeric, c_numeric_12_2 numeric(12, 2), c_money money,
    c_text text DEFAULT 'not this', c_varchar varchar(20), c_char char(5), c_enum mood, c_uuid uuid, c_json json, c_jsonb jsonb, c_bytea bytea,
    c_date date, c_time time, c_timetz timetz, c_timestamp timestamp, c_timestamptz timestamptz, c_interval interval,
    c_integers integer[], c_texts text[], c_numerics numeric(10, 2)[], c_timestamptzs timestamptz[],
    c_inet inet, c_range int4range, c_hstore hstore, c_bits bit(4), c_long text, c_long_bytes bytea,
    m_text text, m_null text, m_varchar varchar(20), m_char char(24), m_long text, "m{x}|+" text,
    c_doubled integer GENERATED ALWAYS AS (c_integer * 2) STORED
);
ALTER TABLE every_type ALTER c_long SET STORAGE EXTERNAL, ALTER c_long_bytes SET STORAGE EXTERNAL, ALTER m_long SET STORAGE EXTERNAL;
GRANT ALL ON every_type TO shop_app;

CREATE TABLE visits (day date, visitor bigint, page text, PRIMARY KEY (visitor, day)) PARTITION BY RANGE (day);
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE visits_2027 PARTITION OF visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
INSERT INTO visits VALUES ('2026-05-01', 1, 'there before'), ('2027-05-01', 1, 'there before');
GRANT ALL ON visits TO shop_app;
