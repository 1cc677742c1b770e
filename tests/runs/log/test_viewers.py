"""Polls that are answered from memory: the same as before, of the latest state, and to nobody who may not read."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.core.handlers.wsgi import WSGIHandler
from django.db import OperationalError, connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.api.models import ApiToken
from apps.api.views.base import EXPIRY_HEADER
from apps.runs.log import viewers
from apps.runs.log.viewers import Viewers
from apps.runs.models import LogEntry, Run
from apps.services.access import access_version
from apps.services.models import AccessVersion, Service
from config.wsgi import application
from tests.factories import make_log_entries, make_payload, make_run, make_service, make_token, make_user

# Who may do what is told of once it is committed.
pytestmark = pytest.mark.django_db(transaction=True)
READER = ("services.view_service", "runs.view_run")


class Site:
    """The site as gunicorn serves it: with a memory."""

    def __init__(self) -> None:
        self._application = Viewers(WSGIHandler())

    def look_anew(self) -> None:
        """As when the time of all looks is up."""
        self._application._looks = viewers._Memory(100)

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON of the answer; how many queries it took, and its head, stand in `site` then."""
        environ = RequestFactory(headers={"host": "localhost"} | headers).get(path).environ
        statuses: list[str] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            statuses.append(status)
            self.headers = dict(headers)

        with CaptureQueriesContext(connection) as queries:
            response: Any = self._application(environ, start_response)
            body = b"".join(response)
            getattr(response, "close", lambda: None)()
        self.queries = len(queries)
        status = int(statuses[0][:3])
        return status, json.loads(body) if status == 200 else None


class Viewer:
    """Somebody who polls a log, by the API or in the console."""

    def __init__(self, site: Site, path: str, **headers: str) -> None:
        self._site, self._path, self._headers = site, path, headers

    def poll(self, query: str = "after=3", **headers: str) -> tuple[int, Any]:
        return self._site.get(f"{self._path}?{query}", **self._headers | headers)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    # So that a test need not wait: each poll has a look of its own.
    monkeypatch.setattr(viewers, "LOOK_EVERY", 0)
    monkeypatch.setattr(viewers, "LOOK_EVERY_OF_MANY", 0)
    # Nor need it be quick.
    monkeypatch.setattr(viewers, "SAID_FOR", 60)
    return Site()


@pytest.fixture
def user() -> User:
    return make_user(permissions=READER, password="a word of theirs")


@pytest.fixture
def run() -> Run:
    run = make_run(status=Run.Status.RUNNING, store_pull=True)
    make_log_entries(run, 3)
    return run


@pytest.fixture
def token(user: User) -> tuple[ApiToken, str]:
    return make_token(user)


def by_token(site: Site, run: Run, secret: str) -> Viewer:
    return Viewer(site, f"/api/v1/runs/{run.pk}/log/", authorization=f"Bearer {secret}")


def by_session(site: Site, run: Run, user: User) -> Viewer:
    client = Client()
    client.force_login(user)
    return Viewer(
        site, f"/admin/runs/run/{run.pk}/log/feed/", cookie=f"sessionid={client.cookies['sessionid'].value}"
    )


@pytest.fixture(params=["token", "session"])
def viewer(request: pytest.FixtureRequest, site: Site, run: Run, user: User, token: Any) -> Viewer:
    return by_token(site, run, token[1]) if request.param == "token" else by_session(site, run, user)


def texts(answer: Any) -> Any:
    """The lines of either feed, as far as a test wants to know."""
    return answer["html"] if "html" in answer else [line["message"] for line in answer["lines"]]


def test_is_what_gunicorn_serves() -> None:
    assert isinstance(application, Viewers)


def test_same_poll_costs_two_looks_and_no_more(site: Site, viewer: Viewer) -> None:
    first = viewer.poll()
    assert first[0] == 200
    assert site.queries > 2

    assert viewer.poll() == first
    assert site.queries == 2


def test_looks_are_shared_by_all_who_ask_at_once(
    site: Site, viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewers, "LOOK_EVERY", 60)
    viewer.poll()
    viewer.poll()

    viewer.poll()

    assert site.queries == 0


def test_new_lines_are_told_at_once(viewer: Viewer, run: Run) -> None:
    viewer.poll()
    viewer.poll()

    make_log_entries(run, ["said just now"])

    assert "said just now" in str(texts(viewer.poll()[1]))


def test_many_are_told_of_the_same_lines_wherever_they_are(
    site: Site, viewer: Viewer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewers, "_MANY", 0)
    viewer.poll("after=3")
    # All have one look at the run, and each asks something new, so that nothing said before can be said again.
    monkeypatch.setattr(viewers, "LOOK_EVERY", 60)
    viewer.poll("after=2")
    make_log_entries(run, ["New", "New"])

    assert "New" not in str(viewer.poll("after=1"))
    assert viewer.poll("after=0")[1].get("next_after", 3) == 3
    # Whoever was told of more elsewhere loses nothing.
    _status, told = viewer.poll("after=4")
    assert (told.get("next_after", 4), told.get("cursor", 4), texts(told)) == (4, 4, texts(told)[:0])

    monkeypatch.setattr(viewers, "LOOK_EVERY", 0)
    site.look_anew()
    assert str(viewer.poll("after=3")).count("New") == 2


def test_end_of_the_run_is_told_at_once(viewer: Viewer, run: Run) -> None:
    viewer.poll()
    viewer.poll()

    Run.objects.filter(pk=run.pk).update(
        status="failed", finished_at=timezone.now(), lease_token=None, lease_until=None
    )

    answer = viewer.poll()[1]
    assert (answer["status"], answer["poll_after"]) == ("failed", None)


def test_run_that_is_gone_is_not_there(viewer: Viewer, run: Run) -> None:
    viewer.poll()
    viewer.poll()

    LogEntry.objects.filter(run=run).delete()
    Run.objects.filter(pk=run.pk).delete()

    assert viewer.poll()[0] == 404


def test_another_question_gets_its_own_answer(viewer: Viewer) -> None:
    viewer.poll("after=3")

    assert "Line 2" in str(texts(viewer.poll("after=1")[1]))
    assert "Line 1" not in str(texts(viewer.poll("after=1")[1]))


def test_what_was_said_is_said_to_others_who_may_read_it(site: Site, run: Run, user: User) -> None:
    one, other = (by_token(site, run, make_token(user)[1]) for _number in range(2))
    first = one.poll()

    assert other.poll() == first
    assert other.poll() == first
    assert site.queries == 2


def test_each_is_told_of_their_own_token_that_expires_soon(site: Site, run: Run, user: User) -> None:
    def soon(days: int) -> str | None:
        expires_at = timezone.now() + timedelta(days=days)
        viewer = by_token(site, run, make_token(user, expires_at=expires_at)[1])
        viewer.poll()
        viewer.poll()
        return site.headers.get(EXPIRY_HEADER)

    first, second, late = soon(1), soon(2), soon(90)

    assert None not in {first, second}
    assert first != second
    assert late is None


def test_nobody_else_is_told(site: Site, run: Run, viewer: Viewer) -> None:
    viewer.poll()
    viewer.poll()
    elsewhere = make_token(services=[make_service()])[1]
    narrow = make_token(scopes=["run:start"])[1]

    assert by_token(site, run, elsewhere).poll()[0] == 404
    assert by_token(site, run, narrow).poll()[0] == 403
    assert by_token(site, run, "wrong").poll()[0] == 401
    assert by_session(site, run, make_user(permissions=["runs.view_run"])).poll()[0] == 404
    assert Viewer(site, f"/admin/runs/run/{run.pk}/log/feed/").poll()[0] == 302


def revoke_token(user: User) -> None:
    for token in user.api_tokens.all():
        token.revoke()


def delete_token(user: User) -> None:
    user.api_tokens.all().delete()


def narrow_scopes(user: User) -> None:
    for token in user.api_tokens.all():
        token.scopes = ["run:start"]
        token.save()


def narrow_services(user: User) -> None:
    for token in user.api_tokens.all():
        token.services.set([make_service()])


def deactivate(user: User) -> None:
    user.is_active = False
    user.save()


def delete_user(user: User) -> None:
    user.delete()


def take_permission(user: User) -> None:
    user.user_permissions.remove(Permission.objects.get(codename="view_service"))


def limit_service(_user: User) -> None:
    Service.objects.get(runs__status="running").groups.add(Group.objects.create(name="Others"))


FOR_BOTH = (deactivate, delete_user, take_permission, limit_service)


@pytest.mark.parametrize(
    "change",
    [*FOR_BOTH, revoke_token, delete_token, narrow_scopes, narrow_services],
    ids=lambda f: f.__name__,
)
def test_token_is_let_in_no_longer(site: Site, run: Run, user: User, change: Callable[[User], None]) -> None:
    viewer = by_token(site, run, make_token(user)[1])
    assert [viewer.poll()[0], viewer.poll()[0]] == [200, 200]
    assert site.queries == 2

    change(user)

    assert viewer.poll()[0] in {401, 403, 404}


def sign_out(user: User) -> None:
    # As the page does it.
    for session in Session.objects.all():
        client = Client()
        client.cookies["sessionid"] = session.session_key
        client.post("/admin/logout/")


def change_password(user: User) -> None:
    user.set_password("another")
    user.save()


def is_staff_no_more(user: User) -> None:
    user.is_staff = False
    user.save()


def end_sessions(_user: User) -> None:
    Session.objects.all().delete()


@pytest.mark.parametrize(
    "change",
    [*FOR_BOTH, sign_out, change_password, is_staff_no_more, end_sessions],
    ids=lambda f: f.__name__,
)
def test_session_is_let_in_no_longer(
    site: Site, run: Run, user: User, change: Callable[[User], None]
) -> None:
    viewer = by_session(site, run, user)
    assert [viewer.poll()[0], viewer.poll()[0]] == [200, 200]
    assert site.queries == 2

    change(user)

    assert viewer.poll()[0] in {302, 403, 404}


def test_right_of_a_group_ends_with_the_group_or_its_member(site: Site, run: Run) -> None:
    def group() -> Group:
        group = Group.objects.create(name=f"Group {Group.objects.count()}")
        group.permissions.set(Permission.objects.filter(codename__in=["view_service", "view_run"]))
        return group

    groups = [group(), group(), group()]
    members = [make_user(groups=[group]) for group in groups]
    of_token = [by_token(site, run, make_token(member)[1]) for member in members]
    assert [viewer.poll()[0] for viewer in of_token * 2] == [200] * 6

    groups[0].permissions.clear()
    assert [viewer.poll()[0] for viewer in of_token] == [404, 200, 200]
    members[1].groups.clear()
    assert [viewer.poll()[0] for viewer in of_token] == [404, 404, 200]
    groups[2].delete()
    assert [viewer.poll()[0] for viewer in of_token] == [404, 404, 404]


def test_memory_does_not_outlive_a_token(
    site: Site, run: Run, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = by_token(site, run, make_token(user, expires_at=timezone.now() + timedelta(seconds=30))[1])
    monkeypatch.setattr(viewers, "SAID_FOR", 1000)
    viewer.poll()
    passed = 20.0
    monkeypatch.setattr(viewers, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))

    viewer.poll()
    assert site.queries == 2
    passed = 31.0
    viewer.poll()
    assert site.queries > 2


def test_who_is_refused_is_forgotten(site: Site, run: Run, user: User, token: tuple[ApiToken, str]) -> None:
    viewer = by_token(site, run, token[1])
    viewer.poll()

    # No signal tells of it.
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert viewer.poll("after=2")[0] == 401
    assert viewer.poll()[0] == 401


def test_signing_in_and_making_or_using_a_token_take_nothing_from_anybody(
    site: Site, run: Run, user: User
) -> None:
    user.save()
    before = access_version()

    Client().post("/admin/login/", {"username": user.username, "password": "a word of theirs"})
    secret = make_token(make_user(is_superuser=True))[1]
    by_token(site, run, secret).poll()

    assert User.objects.get(pk=user.pk).last_login is not None
    assert access_version() == before is not None


def test_change_stands_though_it_cannot_be_told_of(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_rows: object, **_options: object) -> None:
        raise OperationalError

    monkeypatch.setattr(AccessVersion.objects, "bulk_create", away)
    told = []

    with transaction.atomic():
        deactivate(user)
        transaction.on_commit(lambda: told.append("others"))

    assert told == ["others"]
    assert not User.objects.get(pk=user.pk).is_active


def test_each_language_and_host_is_told_in_its_own_words(site: Site, run: Run) -> None:
    make_payload(run, sequence=3)
    viewer = by_session(site, run, make_user(is_superuser=True))
    viewer.poll("after=0")
    here = viewer.poll("after=0")[1]
    german = viewer.poll("after=0", **{"accept-language": "de"})[1]
    there = viewer.poll("after=0", host="127.0.0.1")[1]

    assert "Running" in here["live"]["status"]
    assert "http://localhost/" in here["html"]
    assert "Läuft" in german["live"]["status"]
    assert "http://127.0.0.1/" in there["html"]


def test_head_that_decides_nothing_makes_nobody_new(site: Site, viewer: Viewer) -> None:
    viewer.poll()

    viewer.poll(**{"x-request-id": "another", "user-agent": "another"})

    assert site.queries == 2


def test_same_question_at_once_is_asked_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long to be remembered is for each alone, yet nobody waits for more than one other."""
    shared = viewers.Shared(run.pk, ("status",), ("running",), "all", 60)
    asked, answer = threading.Semaphore(0), threading.Event()
    monkeypatch.setattr(viewers, "LOOK_EVERY_OF_MANY", 60)

    def django(_environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        asked.release()
        assert answer.wait(10)
        start("200 OK", [])
        return SimpleNamespace(shared=shared, cookies={}, content=b"." * length)

    def ask_at_once(count: int) -> None:
        site = Viewers(django)
        environs = [
            RequestFactory(headers={"authorization": str(number)}).get("/log/?after=3").environ
            for number in range(count)
        ]
        answer.set()
        monkeypatch.setattr(viewers, "SAID_FOR", 0)
        for environ in environs:
            site(environ, lambda *_head: None)
            assert asked.acquire(timeout=10)
        monkeypatch.setattr(viewers, "SAID_FOR", 60)
        answer.clear()
        threads = [threading.Thread(target=_call, args=(site, environ)) for environ in environs]
        for thread in threads:
            thread.start()
        assert asked.acquire(timeout=10)
        assert not asked.acquire(timeout=0.2)
        answer.set()
        for thread in threads:
            thread.join(10)

    length = 10
    ask_at_once(8)
    assert not asked.acquire(blocking=False)
    length = viewers._MOST_BYTES + 1
    ask_at_once(8)
    assert [asked.acquire(blocking=False) for _number in range(8)] == [True] * 7 + [False]


def _call(site: Viewers, environ: dict[str, Any]) -> None:
    try:
        site(environ, lambda *_head: None)
    finally:
        connection.close()


def test_errors_are_not_remembered(site: Site, run: Run, token: Any) -> None:
    of_token = by_token(site, run, token[1])

    assert of_token.poll("after=many")[0] == 400
    assert of_token.poll("after=many")[0] == 400
    assert site.queries > 0


def test_where_no_look_can_be_had_django_is_asked(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = viewer.poll()

    def away() -> None:
        raise OperationalError

    monkeypatch.setattr(viewers, "access_version", away)

    assert viewer.poll() == answer


def test_oldest_makes_room_and_so_does_what_is_out_of_time() -> None:
    memory: viewers._Memory[int] = viewers._Memory(2)
    now = time.monotonic()
    for number in range(3):
        memory.put(number, number, now + 60)
    assert [memory.get(number) for number in range(3)] == [None, 1, 2]

    memory.put(1, 1, now - 1)
    memory.put(2, 2, now - 1)
    memory.put(3, 3, now + 60)

    assert len(memory) == 1
