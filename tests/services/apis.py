"""Local servers that imitate a Django REST API, an OData API and a GraphQL API with the same orders."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

from tests.services.web import Reply, Request, reply_json

type Order = dict[str, str | int]


class DjangoRest:
    """Pages of PageNumberPagination; the next page is an absolute URL."""

    authorization = "Token s3cret"

    def __init__(self, orders: list[Order]) -> None:
        self.orders = orders

    def __call__(self, request: Request) -> Reply:
        if request.path != "/orders/" or request.headers.get("authorization") != self.authorization:
            return reply_json({"detail": "Authentication credentials were not provided."}, 401)
        orders = [
            order for order in self.orders if str(order["at"]) >= request.query.get("updated_after", "")
        ]
        size, page = int(request.query["page_size"]), int(request.query.get("page", 1))
        following = None
        if page * size < len(orders):
            query = urlencode({**request.query, "page": page + 1})
            following = f"http://{request.headers['host']}/orders/?{query}"
        results = [
            {"id": order["id"], "updated_at": order["at"]}
            for order in orders[(page - 1) * size : page * size]
        ]
        return reply_json({"count": len(orders), "next": following, "previous": None, "results": results})


class OData:
    """Server-driven pages; the next page is a relative URL."""

    authorization = "Basic c3luYzpzM2NyZXQ="

    def __init__(self, orders: list[Order]) -> None:
        self.orders = orders

    def __call__(self, request: Request) -> Reply:
        if request.path != "/Orders" or request.headers.get("authorization") != self.authorization:
            return reply_json({"error": {"code": "401"}}, 401)
        since = re.sub("^ModifiedAt ge ", "", request.query.get("$filter", ""))
        orders = [order for order in self.orders if str(order["at"]) >= since]
        size = int(request.headers["prefer"].partition("=")[2])
        start = int(request.query.get("$skiptoken", 0))
        value = [
            {"OrderID": order["id"], "ModifiedAt": order["at"]} for order in orders[start : start + size]
        ]
        document: dict[str, object] = {"@odata.context": "$metadata#Orders", "value": value}
        if start + size < len(orders):
            document["@odata.nextLink"] = f"Orders?{urlencode({**request.query, '$skiptoken': start + size})}"
        return reply_json(document)


class GraphQL:
    """Relay connections; errors have the status 200."""

    authorization = "Bearer s3cret"

    def __init__(self, orders: list[Order]) -> None:
        self.orders = orders

    def __call__(self, request: Request) -> Reply:
        sent = json.loads(request.body)
        is_valid = request.method == "POST" and "pageInfo { endCursor hasNextPage }" in sent["query"]
        if not is_valid or request.headers.get("authorization") != self.authorization:
            return reply_json({"data": None, "errors": [{"message": "Not allowed"}]})
        variables = sent["variables"]
        orders = [order for order in self.orders if str(order["at"]) >= (variables.get("since") or "")]
        start = int(variables["after"] or 0)
        end = start + variables["first"]
        nodes = [{"id": order["id"], "updatedAt": order["at"]} for order in orders[start:end]]
        info = {"endCursor": str(start + len(nodes)), "hasNextPage": end < len(orders)}
        return reply_json({"data": {"orders": {"nodes": nodes, "pageInfo": info}}})


APIS = {"django-orders": DjangoRest, "odata-orders": OData, "graphql-orders": GraphQL}
SECRETS = {"SHOP_TOKEN": "Token s3cret", "ERP_PASSWORD": "s3cret", "GRAPH_TOKEN": "s3cret"}
