"""The HTTP API and its tokens.

May import `apps.alerts`, `apps.runs`, `apps.services` and `apps.audit`.
A request passes through `views`, which use `queries` (which rows), `serializers` (which fields),
`tokens` (who may do it) and `http` (bodies, headers, errors).
"""
