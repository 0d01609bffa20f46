"""The SQL of schedules: edit, advance, trigger, backfill, recompute."""
