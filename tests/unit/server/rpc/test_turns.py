"""Principals take turns, and none fills the room that they share."""

import asyncio

from duetime_server.rpc import turns


def waiting(owner: str | None, size: int = 1) -> turns.Waiting:
    return turns.Waiting(owner=owner, size=size, turn=asyncio.get_running_loop().create_future())


async def filled(line: turns.Turns[turns.Waiting], *owners: str | None) -> list[turns.Waiting]:
    made = [waiting(owner) for owner in owners]
    for each in made:
        line.add(each)
    return made


async def test_owners_take_turns_and_each_keeps_its_order() -> None:
    line: turns.Turns[turns.Waiting] = turns.Turns()
    a1, a2, a3, b1, c1, b2 = await filled(line, "a", "a", "a", "b", "c", "b")
    assert line.first() is a1
    assert [line.pop() for _ in range(2)] == [a1, b1]
    (d1,) = await filled(line, "d")
    assert [line.pop() for _ in range(len(line))] == [c1, a2, b2, d1, a3]


async def test_one_that_leaves_is_forgotten_once() -> None:
    line: turns.Turns[turns.Waiting] = turns.Turns()
    one, other = await filled(line, "a", "b")
    for _ in range(2):
        line.remove(one)
    assert (len(line), line.pop()) == (1, other)
    line.remove(other)  # it had its turn
    assert (len(line), line._lines, line._sizes) == (0, {}, {})


async def test_floods_leave_room_for_others() -> None:
    line: turns.Turns[turns.Waiting] = turns.Turns()
    for owner, expected in (("flood", 50), ("second flood", 25), ("third", 13)):
        taken = 0
        while line.has_room(owner, 1, max_size=100):
            await filled(line, owner)
            taken += 1
        assert taken == expected
    assert line.has_room("quiet", 10, max_size=100)
    assert not line.has_room("quiet", 14, max_size=100)
    while line.has_room("counted", 0, max_count=100, max_size=1e9):
        line.add(waiting("counted", 0))
    assert len(line) == 88 + 6


async def test_without_principals_all_of_the_room_is_used() -> None:
    line: turns.Turns[turns.Waiting] = turns.Turns()
    while line.has_room(None, 3, max_size=100):
        line.add(waiting(None, 3))
    assert len(line) == 33
    assert line.has_room(None, 1, max_size=100)
    assert not line.has_room(None, 1, max_count=33, max_size=100)
