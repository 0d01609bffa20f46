"""What Duetime works with: tasks, schedules, queues, workers and the rules for them. Pure: no I/O and no clock."""
