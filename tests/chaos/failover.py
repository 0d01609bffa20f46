"""A failover: the primary is lost, and its standby takes over, with all changes or without the last ones."""

import dataclasses
import pathlib

from tests.chaos import clock, cluster, evidence, world

_IS_SYNCHRONOUS = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
_IS_STREAMING = "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
_RECEIVES_NOTHING = "SELECT count(*) = 0 FROM pg_stat_wal_receiver"


@dataclasses.dataclass
class Pair:
    """A primary and its standby. A synchronous one has each change before the change is answered."""

    primary: cluster.Cluster
    standby: cluster.Cluster
    is_synchronous: bool

    async def stop(self) -> None:
        """Stops both."""
        await self.primary.stop()
        await self.standby.stop()

    async def cut(self) -> None:
        """Ends the replication. Changes are then made without an asynchronous standby, and none with a synchronous."""
        await self.standby.set("primary_conninfo", "", until=_RECEIVES_NOTHING)

    async def fail_over(self, made: world.World) -> evidence.Failover:
        """Kills the primary, makes the standby the primary of the world, and returns what the old one had."""
        async with made.outage():
            await self.primary.kill()
            await self.standby.promote()
            promoted = clock.now()
            made.postgres = self.standby
            made.database_proxy.lead_to(self.standby.socket)
        await self.primary.start()  # alone: nothing but the test connects to it
        connection = await self.primary.connect(made.database)
        async with connection:
            rows, logs = await evidence.read_tables(connection)
            leases = await evidence.read_leases(connection)
        await self.primary.stop()
        changes = frozenset(log for of_task in logs.values() for log in of_task)
        request_ids = {task_id: row.request_id for task_id, row in rows.items()}
        return evidence.Failover(promoted, changes, request_ids, leases, keeps_answers=self.is_synchronous)


async def make_pair(directory: pathlib.Path, *, is_synchronous: bool) -> Pair:
    """Starts a primary, which has the template database, and its standby, in two directories there."""
    primary = cluster.Cluster(directory / "primary")
    await primary.start()
    await primary.make_template()
    standby = await primary.make_standby(directory / "standby")
    if is_synchronous:
        await primary.set("synchronous_standby_names", "*", until=_IS_SYNCHRONOUS)
    else:
        await primary.set("synchronous_standby_names", "", until=_IS_STREAMING)
    return Pair(primary, standby, is_synchronous)
