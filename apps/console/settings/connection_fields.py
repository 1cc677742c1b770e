"""Fields of the settings form of a connection: the options that they set, and when they are shown."""

# Fields whose name differs from the key of the option.
FIELD_OF_KEY = {
    "base_url": "url",
    "auth.type": "auth",
    "auth.username": "auth_username",
    "auth.header": "auth_header",
    "auth.query": "auth_query",
    "auth.grant": "auth_grant",
    "auth.token_url": "auth_token_url",
    "auth.client_id": "auth_client_id",
    "auth.scope": "auth_scope",
    "auth.refresh_token": "refresh_token",
    "auth.refresh_token_env": "refresh_token_env",
    "auth.secret": "secret",
    "auth.secret_env": "secret_env",
    "auth.passphrase_env": "passphrase_env",
    "auth.passphrase": "passphrase",
}
HTTP_FIELDS = ("requests_per_minute", "proxy", "ca_file", "client_cert_file")
REFRESH_TOKEN_FIELDS = {"refresh_token": "refresh_token", "refresh_token_env": "refresh_token_env"}
# Fields of each kind of authentication, beside the secrets.
AUTH_FIELDS = {
    "basic": {"username": "auth_username"},
    "header": {"header": "auth_header"},
    "query": {"query": "auth_query"},
    "key": {
        "username": "auth_username",
        "secret": "private_key",
        "passphrase": "passphrase",
        "passphrase_env": "passphrase_env",
    },
    "oauth2": {
        "grant": "auth_grant",
        "token_url": "auth_token_url",
        "client_id": "auth_client_id",
        "scope": "auth_scope",
    },
}

# Fields that decide which access tokens a connection gets.
TOKEN_FIELDS = {
    "auth",
    "auth_grant",
    "auth_token_url",
    "auth_client_id",
    "auth_scope",
    "refresh_token",
    "refresh_token_env",
    "secret",
    "secret_env",
    "remove_secret",
}
# When a field is shown, see settings/form.js.
SHOWN_FOR = {
    **dict.fromkeys(HTTP_FIELDS, "kind=http"),
    "auth_username": "auth=basic,key",
    "auth_header": "auth=header",
    "auth_query": "auth=query",
    "private_key": "auth=key",
    "passphrase": "auth=key",
    "passphrase_env": "auth=key",
    "auth_grant": "auth=oauth2",
    "auth_token_url": "auth=oauth2",
    "auth_client_id": "auth=oauth2",
    "auth_scope": "auth=oauth2",
    "refresh_token": "auth=oauth2 auth_grant=refresh_token",
    "refresh_token_env": "auth=oauth2 auth_grant=refresh_token",
    "secret": "auth=bearer,basic,header,query,oauth2",
    "secret_env": "auth=bearer,basic,header,query,oauth2,key",
}
