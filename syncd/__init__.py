"""The client daemon that will keep a folder in two-way sync with a volume. Not written yet.

The package holds the name and its place in the import rules: it will speak `cas.wire` with the
server, send only changed chunks, and never import `dav`.
"""
