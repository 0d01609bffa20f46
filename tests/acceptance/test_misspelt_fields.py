"""Unknown fields, which Envoy's transcoder would drop, are refused with the probably intended field."""

import json
import urllib.parse
from typing import Any

import grpc
import httpx
import pytest

from duetime_core.model import quoting
from tests.acceptance import refusals, requests

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DUE = "2100-01-01T00:00:00Z"

MISSPELT: list[tuple[str, str, dict[str, Any], dict[str, str | None]]] = [
    ("POST", "/api/tasks", {"max_retry": 9}, {"max_retry": "max_retries"}),
    ("POST", "/api/tasks", {"prioriy": 9}, {"prioriy": "priority"}),
    ("POST", "/api/tasks", {"data": {"a": 1}}, {"data": "task_data"}),
    ("POST", "/api/tasks", {"nmae": "a"}, {"nmae": "name"}),
    ("POST", "/api/tasks", {"Name": "a"}, {"Name": "name"}),
    ("POST", "/api/tasks", {"execution-time": DUE}, {"execution-time": "execution_time"}),
    ("POST", "/api/tasks", {"maxretries": 1}, {"maxretries": "max_retries"}),
    ("POST", "/api/tasks", {"tasks_data": {}}, {"tasks_data": "task_data"}),
    ("POST", "/api/tasks", {"payload": {}}, {"payload": None}),
    ("POST", "/api/tasks", {"": 1}, {'""': None}),
    ("POST", "/api/tasks", {"prioriy": None}, {"prioriy": "priority"}),
    ("POST", "/api/tasks", {"prio": 1, "quue": "a"}, {"prio": "priority", "quue": "queue"}),
    (
        "POST",
        "/api/tasks",
        {"retry_policy": {"max_backof": "3s", "jiter": 0.1}},
        {"retry_policy.max_backof": "max_backoff", "retry_policy.jiter": "jitter"},
    ),
    (
        "POST",
        "/api/tasks:batchCreate",
        {"requests": [{"name": "a", "execution_time": DUE}, {"que": "a", "retry_policy": {"multiplyer": 2}}]},
        {"requests[1].que": "queue", "requests[1].retry_policy.multiplyer": "multiplier"},
    ),
    ("POST", "/api/tasks:batchCreate", {"tasks": []}, {"tasks": None}),
    ("PATCH", "/api/tasks/1", {"time_out": "3s"}, {"time_out": "timeout"}),
    ("PUT", "/api/tasks/1", {"updatemask_": "name"}, {"updatemask_": "update_mask"}),
    ("POST", "/api/tasks/1:cancel", {"reason": "none"}, {"reason": None}),
    ("POST", "/api/tasks:cancel", {"filter": {"quue": "a"}}, {"filter.quue": "queue"}),
    ("POST", "/api/tasks:delete", {"al": True}, {"al": "all"}),
    ("POST", "/api/tasks:move", {"filter": {"queue": "a"}, "exection_time": DUE}, {"exection_time": "execution_time"}),
    (
        "POST",
        "/api/schedules",
        {"cron": "0 9 * * *", "task": {"name": "a", "taskdata_": {}, "retry_policy": {"jiter": 0}}, "timezone": "UTC"},
        {"task.taskdata_": "task_data", "task.retry_policy.jiter": "jitter", "timezone": "time_zone"},
    ),
    ("POST", "/api/schedules:preview", {"chron": "0 9 * * *"}, {"chron": "cron"}),
    ("POST", "/api/schedules:preview", {"blackouts": [{}, {"from": "10:00"}]}, {"blackouts[1].from": "from_time"}),
    ("PATCH", "/api/schedules/1", {"over_lap": "skip"}, {"over_lap": "overlap"}),
    ("PATCH", "/api/queues/mail", {"max_runing": 5}, {"max_runing": "max_running"}),
]


@pytest.mark.parametrize(("method", "path", "body", "wrong"), MISSPELT, ids=lambda value: json.dumps(value)[:60])
async def test_an_unknown_field_is_refused_with_the_probably_intended_one(
    rest: httpx.AsyncClient, method: str, path: str, body: dict[str, Any], wrong: dict[str, str | None]
) -> None:
    if path == "/api/tasks":
        body = {**requests.as_json(), **body}
    response = await rest.request(method, path, json=body)
    assert response.status_code == 400, response.text
    refusal = refusals.over_rest(response)
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_ARGUMENT")
    assert refusal.fields.keys() == wrong.keys()
    for field, meant in wrong.items():
        description = refusal.fields[field]
        assert description.startswith("is not a field of ")
        if meant is not None:
            assert description.endswith(f"(did you mean {meant}?)")
        assert description in refusal.message


@pytest.mark.parametrize(
    "body",
    [
        {"max_retry": 1, "data": {"prioriy": [{"nmae": 1}]}, "": 2, "'": '"'},
        {"a": '"}, "prioriy": 9, {"', "b": "\\", "c": '\\"}', "ü": ["]", "}"]},
    ],
)
async def test_task_data_may_have_any_names(rest: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await rest.post("/api/tasks", json=requests.as_json(task_data=body))
    assert response.status_code == 200, response.text
    task = (await rest.get(f"/api/tasks/{response.json()['task_id']}")).json()
    assert task["task_data"] == body
    schedule = {"name": "a", "cron": "0 9 * * *", "task": {"name": "noop", "task_data": body}}
    response = await rest.post("/api/schedules", json=schedule)
    assert response.status_code == 200, response.text
    await rest.delete(f"/api/schedules/{response.json()['schedule_id']}")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "noop", "executionTime": "DUE", "maxRetries": 1, "retryPolicy": {"maxBackoff": "9s"}}',
        "{'name': 'noop', execution_time: 'DUE', 'task_data': {'a': \"it's\",},}",
        '{"n\\u0061me": "noop", "execution_time": "DUE", "priority": "3", "timeout": null}',
        ' \n{\t"name"\r:"noop" , "execution_time":"DUE"}\n ',
        '\ufeff{"name": "noop", "execution_time": "DUE"}',
    ],
)
async def test_everything_that_envoys_parser_accepts_is_accepted(rest: httpx.AsyncClient, text: str) -> None:
    headers = {"content-type": "application/json"}
    response = await rest.post("/api/tasks", content=text.replace("DUE", DUE).encode(), headers=headers)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "text",
    [
        '{"nmae": ',
        '{"nmae" 1}',
        '{"nmae": 1]',
        '{"nmae": 1} x',
        '{"nmae": "',
        '{"nmae": [1, {}',
        '{"nmae": 1,, }',
        "{,}",
    ],
)
async def test_invalid_json_is_reported_before_unknown_fields(rest: httpx.AsyncClient, text: str) -> None:
    response = await rest.post("/api/tasks", content=text, headers={"content-type": "application/json"})
    assert response.status_code == 400
    refusal = refusals.over_rest(response)
    assert (refusal.reason, refusal.message[:22]) == ("MALFORMED_REQUEST", "the body is not JSON: ")


async def test_many_and_long_names_are_shortened_in_the_response(rest: httpx.AsyncClient) -> None:
    many = {f"field_{number}": number for number in range(50_000)}
    refusal = refusals.over_rest(await rest.post("/api/tasks", json=many))
    assert list(refusal.fields) == [f"field_{number}" for number in range(10)]
    for key in ("k" * 500_000, "ü" * 250_000, "\\" * 200_000, "\x1b]0;" * 50_000):
        response = await rest.post("/api/tasks", json={key: 1})
        assert response.status_code == 400
        assert len(response.content) < 2000
        assert next(iter(refusals.over_rest(response).fields)).endswith("…")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": {"a": 1}}, {"name": "must be a string, not an object"}),
        ({"name": ["a"]}, {"name": "must be a string, not a list"}),
        ({"max_retries": {}}, {"max_retries": "must be a whole number, not an object"}),
        ({"task_data": [1, 2]}, {"task_data": 'must be an object, such as {"…": …}, not [1,2]'}),
        ({"retry_policy": []}, {"retry_policy": 'must be an object, such as {"…": …}, not []'}),
        ({"retry_policy": {"jitter": []}}, {"retry_policy.jitter": "must be a number, not a list"}),
    ],
    ids=str,
)
async def test_a_value_of_the_wrong_type_is_refused_with_the_field(
    rest: httpx.AsyncClient, body: dict[str, Any], fields: dict[str, str]
) -> None:
    response = await rest.post("/api/tasks", json=requests.as_json(**body))
    assert response.status_code == 400
    assert refusals.over_rest(response).fields == fields


STEERING = "\x00\x07\x1b]0;title\x7f\x85\u061c\u200e\u2028\u202e\u2066\ufeff\ufff9\U000e0041"
SHOWN = r"\x00\x07\x1b]0;title\x7f\x85\u061c\u200e\u2028\u202e\u2066\ufeff\ufff9\U000e0041"


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/tasks", {STEERING: 1}, SHOWN),
        ("POST", "/api/tasks", {"retry_policy": {STEERING: 1}}, f"retry_policy.{SHOWN}"),
        ("POST", "/api/tasks", {"max_retries": STEERING}, None),
        ("POST", "/api/tasks", {"execution_time": STEERING}, "execution_time"),
        ("POST", "/api/tasks", {"task_data": {STEERING: 2**53}}, f"task_data.{SHOWN}"),
        ("POST", "/api/tasks:cancel", {"filter": {"status": [STEERING]}}, None),
        ("GET", f"/api/tasks?status={urllib.parse.quote(STEERING)}", None, None),
        ("GET", f"/api/tasks/{urllib.parse.quote(STEERING)}", None, None),
    ],
    ids=ascii,
)
async def test_errors_of_the_edge_contain_no_control_characters(
    rest: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, field: str | None
) -> None:
    content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
    response = await rest.request(method, path, content=content, headers={"content-type": "application/json"})
    refusal = refusals.over_rest(response)
    assert response.status_code == 400
    assert quoting.escaped(refusal.message) == refusal.message
    if field is not None:
        assert field in refusal.fields
    else:
        assert SHOWN in refusal.message


@pytest.mark.parametrize("levels", [21, 30, 40, 200, 5000, 100_000])
async def test_too_deeply_nested_data_is_refused_for_that_reason(rest: httpx.AsyncClient, levels: int) -> None:
    data = '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)
    for path, text, field in (
        ("/api/tasks", f'{{"name": "a", "execution_time": "{DUE}", "task_data": {data}}}', "task_data"),
        ("/api/tasks:batchCreate", f'{{"requests": [{{"task_data": {data}}}]}}', "requests[0].task_data"),
        ("/api/schedules", f'{{"name": "a", "task": {{"task_data": {data}}}}}', "task.task_data"),
    ):
        response = await rest.post(path, content=text, headers={"content-type": "application/json"})
        assert response.status_code == 400
        refusal = refusals.over_rest(response)
        assert refusal.fields[field].startswith("must be nested at most 20 levels deep"), refusal


TIMES = [
    "2100-01-01t00:00:00z",
    "2100-01-01T00:00:00z",
    "2100-01-01t00:00:00.123456789Z",
    "2100-01-01t01:00:00+01:00",
    "2100-02-28t23:59:59-23:59",
]
NO_TIMES = [
    "tomorrow",
    "2100-01-01",
    "2100-01-01T00:00:00",
    "2100-01-01T00:00Z",
    "2100-01-01T00:00:00+0530",
    "2100-01-01T00:00:00.1234567890Z",
    "2100-01-01T24:00:00Z",
    "2100-01-01T00:60:00Z",
    "2100-13-01T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "2100-01-01 00:00:00Z",
    "0000-01-01T00:00:00Z",
    "",
]


@pytest.mark.parametrize("text", TIMES)
async def test_a_time_may_be_in_lower_case(rest: httpx.AsyncClient, queue: str, text: str) -> None:
    response = await rest.post("/api/tasks", json=requests.as_json(execution_time=text, queue=queue))
    assert response.status_code == 200, response.text
    for name in ("due_from", "due_before"):
        response = await rest.get("/api/tasks", params={"queue": queue, name: text})
        assert response.status_code == 200, response.text
    move = {"filter": {"queue": queue, "due_before": text}, "execution_time": text}
    assert (await rest.post("/api/tasks:move", json=move)).status_code == 200


@pytest.mark.parametrize("text", NO_TIMES)
async def test_an_invalid_time_is_refused_with_one_plain_message(rest: httpx.AsyncClient, text: str) -> None:
    sentence = "must be an RFC 3339 time with a zone, such as 2026-11-27T09:00:00Z"
    response = await rest.post("/api/tasks", json=requests.as_json(execution_time=text))
    assert response.status_code == 400
    assert refusals.over_rest(response).fields == {"execution_time": f'{sentence}, not "{text}"'}
    response = await rest.get("/api/tasks", params={"due_from": text})
    if text:
        assert response.status_code == 400
        assert refusals.over_rest(response).message == f"due_from: {sentence}"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/api/tasks?pagesize=1", "pagesize: is not a parameter of this request (did you mean page_size?)"),
        ("/api/tasks?stat=pending", "stat: is not a parameter of this request (did you mean status?)"),
        ("/api/tasks?after=1", "after: is not a parameter of this request; its parameters are status, queue, name, "),
        ("/api/tasks?page_size=many", 'page_size: must be a whole number from 0 to 4294967295, not "many"'),
        ("/api/tasks?status=waiting", "status: must be one of pending, running, completed, failed, cancelled, not "),
        ("/api/tasks/first", 'task_id: must be a whole number from 0 to 4294967295, not "first"'),
        ("/api/tasks/99999999999", 'task_id: must be a whole number from 0 to 4294967295, not "99999999999"'),
        ("/api/tasks/1?task=2", "task: is not a parameter of this request (did you mean task_id?)"),
    ],
)
async def test_an_invalid_parameter_is_refused_in_plain_words(
    rest: httpx.AsyncClient, address: str, message: str
) -> None:
    response = await rest.get(address)
    assert response.status_code == 400
    assert refusals.over_rest(response).message.startswith(message)
