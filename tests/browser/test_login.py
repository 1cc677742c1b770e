from tests import factories


def test_admin_opens_for_a_member_of_staff(page, sign_in):
    user = factories.make_user("anna", is_superuser=True)

    sign_in(page, user)
    page.goto("/admin/")

    assert page.get_by_text("anna").first.is_visible()


def test_a_violation_of_the_policy_is_noticed(page, problems):
    page.goto("/admin/login/")

    page.evaluate("document.body.appendChild(document.createElement('script')).text = 'alert(1)'")
    page.evaluate("console.error('an error of the page')")
    page.evaluate("setTimeout(() => { throw new Error('uncaught') })")
    page.wait_for_timeout(100)

    noticed = "\n".join(problems)
    problems.clear()
    assert "CSP violation: script-src-elem" in noticed
    assert "an error of the page" in noticed
    assert "uncaught" in noticed
