"""The cursors of a watch of all: a position in the feed of one database."""

import contextlib
import dataclasses

from duetime_core import snapshot
from duetime_core.store import feed
from duetime_server import tokens, violations


@dataclasses.dataclass(frozen=True)
class Cursors:
    """Writes and reads the cursors of the watches with one filter, `scope`."""

    scope: object
    database_id: str

    def write(self, position: snapshot.Position) -> str:
        """Returns the cursor that goes on after `position`."""
        return tokens.encode(self.scope, [self.database_id, str(position)])

    def read(self, cursor: str) -> snapshot.Position:
        """Returns the position that `write` put in; raises InvalidArgument for anything else."""
        match tokens.decode("cursor", cursor, self.scope):
            case [str(database_id), str(position)]:
                if database_id != self.database_id:
                    raise violations.refuse("cursor", feed.ELSEWHERE)
                with contextlib.suppress(ValueError):
                    return snapshot.Position.parse(position)
        raise violations.refuse("cursor", tokens.UNKNOWN)
