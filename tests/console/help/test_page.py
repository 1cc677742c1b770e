"""Help page: topics, links, search."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from apps.console.help.topics import TOPICS, all_topics
from tests.factories import make_run, make_service, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(permissions=["services.view_service"]))
    return client


def test_help_shows_the_first_topic_and_lists_all(staff: Client) -> None:
    response = staff.get("/admin/help/")

    html = response.content.decode()
    assert '<h1 id="overview">Overview</h1>' in html
    assert [html.count(f'href="{topic.url}"') > 0 for topic in all_topics().values()] == [True] * len(
        all_topics()
    )


@pytest.mark.parametrize("slug", [slug for _app, slug in TOPICS])
def test_topic_has_no_inline_styles_or_broken_links(staff: Client, slug: str) -> None:
    response = staff.get(f"/admin/help/{slug}/")

    assert response.status_code == 200
    assert " style=" not in response.context["topic"].html
    assert re.findall(r'href="[^"]*\.md[#"]', response.context["topic"].html) == []


def test_unknown_topic_is_not_found(staff: Client) -> None:
    assert staff.get("/admin/help/nothing/").status_code == 404


def test_help_requires_login(client: Client) -> None:
    response = client.get("/admin/help/")

    assert response.status_code == 302
    assert response.url.startswith("/admin/login/")


def test_search_finds_sections_with_all_words_titles_first(staff: Client) -> None:
    response = staff.get("/admin/help/", {"q": "Hold RUN"})

    matches = response.context["matches"]
    assert matches[0].section.title == "Hold a run"
    assert f'href="{matches[0].url}"' in response.content.decode()


def test_search_without_match_shows_message(staff: Client) -> None:
    html = staff.get("/admin/help/", {"q": "<zeppelin>"}).content.decode()

    assert "No section contains “&lt;zeppelin&gt;”." in html


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("services_service_runs", "logs"),
        ("services_service_run", "running-a-service"),
        ("services_service_change", "services"),
    ],
)
def test_page_links_to_its_help_topic(client: Client, name: str, topic: str) -> None:
    service = make_service()
    client.force_login(make_user(is_superuser=True))

    html = client.get(reverse(f"admin:{name}", args=[service.pk])).content.decode()

    assert f'class="help-button" href="/admin/help/{topic}/"' in html


@pytest.mark.parametrize(
    ("url", "topics"),
    [
        ("/admin/", ["operations"]),
        ("/admin/services/service/add/", ["pagination", "files", "scripts", "schedules"]),
    ],
)
def test_parts_of_a_page_link_to_their_topics(client: Client, url: str, topics: list[str]) -> None:
    make_run()
    client.force_login(make_user(is_superuser=True))

    html = client.get(url).content.decode()

    assert [topic for topic in topics if f'<a href="/admin/help/{topic}/">' not in html] == []
