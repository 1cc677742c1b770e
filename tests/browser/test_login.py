"""Log in by session cookie, and the check for page errors that every browser test uses."""

from tests import factories


def test_admin_opens_for_staff(page, log_in):
    user = factories.make_user("anna", is_superuser=True)

    log_in(page, user)
    page.goto("/admin/")

    assert page.get_by_text("anna").first.is_visible()


def test_page_errors_and_csp_violations_are_recorded(page, problems):
    page.goto("/admin/login/")

    page.evaluate("document.body.appendChild(document.createElement('script')).text = 'alert(1)'")
    page.evaluate("console.error('an error of the page')")
    page.evaluate("setTimeout(() => { throw new Error('uncaught') })")
    page.wait_for_timeout(100)

    recorded = "\n".join(problems)
    problems.clear()
    assert "CSP violation: script-src-elem" in recorded
    assert "an error of the page" in recorded
    assert "uncaught" in recorded
