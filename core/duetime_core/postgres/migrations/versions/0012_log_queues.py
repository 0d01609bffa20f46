"""The queue and the name of the task in each row of its log, and what they were before."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
locks = ("task_logs",)

_COLUMNS = ("queue", "name", "previous_queue", "previous_name")


def upgrade() -> None:
    """Applies it. No row is rewritten: rows that are there, and those of the release before, have none of them."""
    for column in _COLUMNS:
        op.add_column("task_logs", sa.Column(column, sa.Text))


def downgrade() -> None:
    """Reverts it."""
    for column in reversed(_COLUMNS):
        op.drop_column("task_logs", column)
