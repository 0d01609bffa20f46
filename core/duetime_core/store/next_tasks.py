"""Reading the next tasks of schedules in the order in which they are due."""


def floor(queue: str) -> str:
    """Returns the SQL of from when on the next tasks of a queue of the namespace, given as an expression, wait.

    Entries of those that advanced before stay in the index while a transaction anywhere keeps an old snapshot.
    """
    return f"""coalesce((
    SELECT next_floors.ready_at FROM next_floors
    WHERE next_floors.namespace_id = :namespace_id AND next_floors.queue = {queue} AND next_floors.ready_at <= now()
), '-infinity')"""
