"""The commands against a client that records its calls."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any, Self

import grpc
import pytest
import typer.testing

import duetime_client
from duetime_client import cli
from duetime_client.cli import app

NOW = datetime.datetime(2026, 11, 24, 8, tzinfo=datetime.UTC)


def task(**fields: Any) -> duetime_client.Task:
    values: dict[str, Any] = {field.name: None for field in dataclasses.fields(duetime_client.Task)} | {
        "task_id": 7,
        "name": "Send Email",
        "queue": "default",
        "status": duetime_client.Status.PENDING,
        "execution_time": NOW,
        "task_data": {},
        "error_message": "",
        "retry_count": 0,
        "max_retries": 3,
        "retry_policy": duetime_client.RetryPolicy(),
        "version": 1,
        "created_at": NOW,
        "updated_at": NOW,
        "request_id": "",
        "worker_id": "",
    }
    return duetime_client.Task(**(values | fields))


def event(version: int, status: str, change: str) -> duetime_client.TaskEvent:
    log = duetime_client.TaskLog(
        7, version, duetime_client.Status(status), change, NOW, NOW, 0, "", "api", None
    )  # fmt: skip
    return duetime_client.TaskEvent(f"c{version}", log)


class Events(list[duetime_client.TaskEvent]):
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class Client:
    """Returns `answer` from every method, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.called: tuple[str, tuple[Any, ...], dict[str, Any]] | None = None

    def __call__(self, server: str, *, ca: str | None, codec: duetime_client.PayloadCodec | None) -> Self:
        assert codec is None
        self.server = server
        self.ca = ca
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def answer(*arguments: Any, **options: Any) -> Any:
            self.called = (method, arguments, options)
            if isinstance(self.answer, BaseException):
                raise self.answer
            return self.answer

        return answer


Run = Callable[..., typer.testing.Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: str, answer: Any = None, client: Client | None = None) -> typer.testing.Result:
        monkeypatch.setattr(duetime_client, "Client", client or Client(answer))
        return typer.testing.CliRunner().invoke(app.build(), arguments)

    return run


def test_create_prints_the_task_id(run: Run) -> None:
    client = Client(7)
    result = run(
        "create", "Send Email", "--in", "1h30m", "--data", '{"to": "a"}', "--max-retries", "0", client=client
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, "Task 7 created\n")
    assert client.called is not None
    method, arguments, options = client.called
    assert (method, arguments) == ("create", ("Send Email", datetime.timedelta(minutes=90), {"to": "a"}))
    assert {name for name, value in options.items() if value is not None} == {"max_retries"}
    assert client.server == "127.0.0.1:8080"


def test_create_reads_data_from_a_file(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "data.json").write_text('{"größe": 1}', encoding="utf-8")
    client = Client(7)
    run("create", "N", "--at", "2026-12-01T09:00Z", "--data", f"@{tmp_path / 'data.json'}", client=client)
    assert client.called is not None
    assert client.called[1][2] == {"größe": 1}


def test_json_matches_the_rest_api(run: Run) -> None:
    assert json.loads(run("create", "N", "--in", "1s", "--json", answer=7).stdout) == {"task_id": 7}
    assert json.loads(run("get", "7", "--json", answer=task()).stdout)["created_at"] == "2026-11-24T08:00:00Z"
    updated = json.loads(run("update", "7", "--name", "N", "--json").stdout)
    assert updated == {"message": "Task updated successfully"}
    assert json.loads(run("delete", "7", "--json").stdout) == {"message": "Task deleted successfully"}
    for command in ("cancel", "retry"):
        assert json.loads(run(command, "7", "--json", answer=task()).stdout)["task_id"] == 7


def test_lists_as_json_have_one_document_per_line(run: Run) -> None:
    listed = run("list", "--json", answer=iter([task(task_id=1), task(task_id=2)]))
    assert [json.loads(line)["task_id"] for line in listed.stdout.splitlines()] == [1, 2]
    logged = run("logs", "7", "--json", answer=iter([event(1, "pending", "created").change]))
    assert [json.loads(line)["change"] for line in logged.stdout.splitlines()] == ["created"]
    watched = run("watch", "7", "--json", answer=Events([event(1, "completed", "completed")]))
    assert [json.loads(line)["cursor"] for line in watched.stdout.splitlines()] == ["c1"]


def test_list_stops_at_its_limit_and_reports_it(run: Run) -> None:
    result = run("list", "--limit", "2", answer=iter([task(task_id=number) for number in range(1, 4)]))
    assert len(result.stdout.splitlines()) == 3
    assert "first 2 are listed" in result.stderr


def test_list_sends_its_filter(run: Run) -> None:
    client = Client(iter([]))
    run("list", "--status", "failed", "--status", "pending", "--order-by", "task_id desc", client=client)
    assert client.called is not None
    assert client.called[2]["status"] == ["failed", "pending"]
    assert client.called[2]["order_by"] == "task_id desc"


def test_update_sends_only_the_given_fields(run: Run) -> None:
    client = Client(None)
    run("update", "7", "--max-retries", "0", "--version", "3", client=client)
    assert client.called == ("update", (7,), {"max_retries": 0, "version": 3})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["create", "N"], "--at or --in is required"),
        (["create", "N", "--in", "1s", "--at", "2026-12-01T09:00Z"], "--at and --in cannot be combined"),
        (["create", "N", "--at", "2026-12-01T09:00"], "has no zone"),
        (["create", "N", "--in", "soon"], "is not a duration"),
        (["create", "N", "--in", "1s", "--data", "[1]"], "is not a JSON object"),
        (["create", "N", "--in", "1s", "--data", "{"], "is not JSON"),
        (["create", "N", "--in", "1s", "--data", "@/nowhere"], "No such file"),
        (["update", "7"], "nothing to change"),
        (["watch", "7", "--queue", "mail"], "cannot be combined"),
        (["list", "--status", "done"], "done"),
        (["get", "seven"], "TASK_ID"),
        (["get"], "Missing argument"),
        (["nonsense"], "No such command"),
    ],
)
def test_invalid_command_line_exits_with_2_and_the_reason(run: Run, arguments: list[str], problem: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("address", "problem"),
    [("https://127.0.0.1/api", "have a path"), ("127.0.0.1", "has no port"), ("ftp://x", "unknown scheme")],
)
def test_invalid_address_exits_with_2(monkeypatch: pytest.MonkeyPatch, address: str, problem: str) -> None:
    monkeypatch.setenv("DUETIME_ADDRESS", address)
    result = typer.testing.CliRunner().invoke(app.build(), ["get", "7"])
    assert result.exit_code == 2
    assert "Invalid value for --server: " in result.stderr
    assert problem in result.stderr


FAILURES = [
    (duetime_client.InvalidArgument(duetime_client.Violation("name", "must not be empty")), 2),
    (duetime_client.TaskNotFound(), 3),
    (duetime_client.TaskNotPending(), 4),
    (duetime_client.TaskRunning(), 4),
    (duetime_client.TaskFinished(), 4),
    (duetime_client.TaskNotRetryable(), 4),
    (duetime_client.VersionMismatch(), 4),
    (duetime_client.RequestIdReused(), 4),
    (duetime_client.RequestIdOfCancelledTask(), 4),
    (duetime_client.RequestIdOfDeletedTask(), 4),
    (duetime_client.Unavailable(), 5),
    (duetime_client.TlsFailed(), 5),
    (duetime_client.DeadlineExceeded(), 5),
    (duetime_client.Unauthenticated(), 7),
    (duetime_client.PermissionDenied(), 7),
    (duetime_client.TaskIdsExhausted(), 1),
    (duetime_client.ServerBusy(), 1),
    (duetime_client.DuetimeError("it broke"), 1),
    # Reasons of a newer server.
    (duetime_client.DuetimeError("it is closed", code=grpc.StatusCode.FAILED_PRECONDITION, reason="CLOSED"), 4),
    (duetime_client.NotFound("no such thing", reason="THING_NOT_FOUND"), 3),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
def test_failure_prints_one_line_and_has_an_exit_code(run: Run, error: duetime_client.DuetimeError, code: int) -> None:
    result = run("get", "7", answer=error)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"Error: {error.message}\n")


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda value: type(value).__name__)
def test_failure_as_json_matches_the_rest_api(run: Run, error: duetime_client.DuetimeError, code: int) -> None:
    result = run("get", "7", "--json", answer=error)
    body = json.loads(result.stderr)
    assert result.exit_code == code
    assert (body["code"], body["message"]) == (error.code.value[0], error.message)
    assert body["details"][0]["reason"] == error.reason


def test_several_violations_have_one_line_each(run: Run) -> None:
    violations = [duetime_client.Violation("name", "is empty"), duetime_client.Violation("queue", "is long")]
    result = run("get", "7", answer=duetime_client.InvalidArgument(*violations))
    assert result.stderr.splitlines() == ["Error: several fields are invalid", "  name: is empty", "  queue: is long"]


def test_create_with_an_unknown_outcome_can_be_retried(run: Run) -> None:
    error = duetime_client.DeadlineExceeded(code=grpc.StatusCode.DEADLINE_EXCEEDED)
    error.remaining = (duetime_client.NewTask("N", NOW, request_id="abc"),)
    result = run("create", "N", "--in", "1s", answer=error)
    assert "--request-id abc --at 2026-11-24T08:00:00Z" in result.stderr


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (("completed", "completed"), 0),
        (("failed", "failed"), 6),
        (("cancelled", "cancelled"), 6),
        (("cancelled", "deleted"), 6),
        (("completed", "deleted"), 6),
    ],
)
def test_exit_code_of_a_watch_follows_the_task_s_outcome(run: Run, last: tuple[str, str], code: int) -> None:
    result = run("watch", "7", answer=Events([event(1, "pending", "created"), event(2, *last)]))
    assert result.exit_code == code
    assert len(result.stdout.splitlines()) == 2


def test_ctrl_c_exits_quietly_with_130(run: Run) -> None:
    result = run("watch", answer=KeyboardInterrupt())
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "")


def test_command_line_without_its_extra_prints_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "duetime_client.cli.app")
    monkeypatch.delattr(cli, "app")
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit, match=r"pip install 'duetime-client\[cli\]'"):
        cli.main()
