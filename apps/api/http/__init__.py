"""HTTP: request bodies, byte ranges, file names in headers, and errors as problem documents."""
