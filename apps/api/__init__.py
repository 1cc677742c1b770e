"""The HTTP API and its tokens.

May import `apps.runs` and `apps.services`. A request passes through `views`, which use `queries` (which rows),
`serializers` (which fields), `tokens` (who may) and `http` (bodies, headers, errors).
"""
