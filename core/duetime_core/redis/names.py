"""The names of all keys and channels in Redis. Two deployments may share a Redis under two prefixes."""

import dataclasses

DEFAULT_PREFIX = "duetime"


@dataclasses.dataclass(frozen=True)
class Names:
    """The names of one deployment. arq's own keys begin with `arq:` and end in a job id of ours."""

    prefix: str = DEFAULT_PREFIX

    @property
    def changes(self) -> str:
        """The channel of the ids of changed tasks, as a JSON list, once per commit."""
        return f"{self.prefix}:changes"

    @property
    def cancellations(self) -> str:
        """The channel of the ids of cancelled tasks, in the same form."""
        return f"{self.prefix}:cancellations"

    @property
    def keys(self) -> str:
        """The channel of the ids of API keys that were rotated or revoked, in the same form."""
        return f"{self.prefix}:keys"

    def wakeups(self, namespace_id: int, queue: str) -> str:
        """The arq queue, a sorted set, in which the wakeups of a task queue of a namespace wait."""
        return f"{self.prefix}:wakeups:{namespace_id}:{queue}"

    def job_id(self, namespace_id: int, queue: str, slot: int) -> str:
        """The job id of a wakeup, which keeps a slot from being armed twice."""
        return f"{self.prefix}:wakeup:{namespace_id}:{queue}:{slot}"
