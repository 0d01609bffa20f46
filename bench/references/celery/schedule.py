"""Schedules tasks evenly. Arguments: the broker's URL, how many, how many a second, when the first is due (epoch)."""

import datetime
import json
import sys

import application


def main(broker_url: str, tasks: int, rate: float, first: float) -> None:
    """Sends all of them, each with its ETA."""
    made = application.make(broker_url)
    note = made.tasks["note"]
    with made.connection_for_write() as connection, made.amqp.Producer(connection) as producer:
        for number in range(tasks):
            due = first + number / rate
            note.apply_async((due,), eta=datetime.datetime.fromtimestamp(due, datetime.UTC), producer=producer)
    print(json.dumps({}))  # noqa: T201 - the answer


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
