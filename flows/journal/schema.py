"""The journal's tables, and the triggers that refuse changes to them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

SCHEMA_VERSION = 1
# In PostgreSQL by code points: the order of a language is none for ids, and may change with the
# operating system under an index that was built by it (PostgreSQL, "Collation Support").
_ID = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

metadata = sa.MetaData()
records_table = sa.Table(
    "records",
    metadata,
    sa.Column("incident", _ID, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("actor_kind", sa.Text, nullable=False),
    sa.Column("actor_id", sa.Text, nullable=False),
    sa.Column("actor_via", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("prev_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("records_by_kind", "kind", "at"),
)
schema_table = sa.Table("journal_schema", metadata, sa.Column("version", sa.Integer))

SQLITE_TRIGGERS = (
    "CREATE TRIGGER IF NOT EXISTS records_no_update BEFORE UPDATE ON records"
    " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
    "CREATE TRIGGER IF NOT EXISTS records_no_delete BEFORE DELETE ON records"
    " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
    # INSERT OR REPLACE deletes without firing delete triggers (SQLite, "recursive_triggers").
    "CREATE TRIGGER IF NOT EXISTS records_no_replace BEFORE INSERT ON records"
    " WHEN EXISTS (SELECT 1 FROM records WHERE incident = NEW.incident AND seq = NEW.seq)"
    " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END",
)
POSTGRES_TRIGGERS = (
    "CREATE OR REPLACE FUNCTION records_append_only() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$",
    "CREATE OR REPLACE TRIGGER records_no_change BEFORE UPDATE OR DELETE ON records"
    " FOR EACH ROW EXECUTE FUNCTION records_append_only()",
    "CREATE OR REPLACE TRIGGER records_no_truncate BEFORE TRUNCATE ON records"
    " FOR EACH STATEMENT EXECUTE FUNCTION records_append_only()",
)
