"""The network drive: WebDAV over HTTP on a repository of `cas`."""
