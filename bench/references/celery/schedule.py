"""Schedules tasks at even intervals. Arguments: the broker's URL, number, rate per second, first due time (epoch)."""

import datetime
import json
import sys

import application


def main(broker_url: str, tasks: int, rate: float, first: float) -> None:
    """Sends all tasks, each with its ETA."""
    app = application.make(broker_url)
    record_lateness = app.tasks["record lateness"]
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for number in range(tasks):
            due = first + number / rate
            record_lateness.apply_async(
                (due,), eta=datetime.datetime.fromtimestamp(due, datetime.UTC), producer=producer
            )
    print(json.dumps({}))  # noqa: T201 - the result


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
