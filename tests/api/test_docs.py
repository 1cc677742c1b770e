"""The reference page: every operation, in order, under the strict policy."""

import re

from django.test import Client


def page() -> str:
    response = Client().get("/api/docs/")
    assert response.status_code == 200
    assert "default-src 'self'" in response["Content-Security-Policy"]
    return response.content.decode()


def test_page_shows_every_operation_and_a_line_to_try(db):
    text = page()

    operations = [
        operation
        for path in Client().get("/api/schema/?format=json").json()["paths"].values()
        for operation in path.values()
    ]
    named = sorted(operation["operationId"] for operation in operations)
    assert sorted(re.findall(r'<section id="(\w+)"', text)) == named
    assert text.count("<section") == text.count("<pre") == len(operations) == 15
    assert text.count("Bearer $TOKEN") == len(operations)
    assert "http://testserver/api/v1/runs/{id}/log/" in text


def test_page_has_nothing_that_the_policy_forbids():
    text = page()

    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", text)
    assert not re.search(r'(src|href)="(https?:)?//', text)


def test_page_takes_no_other_method():
    assert Client().post("/api/docs/").status_code in (403, 405)
