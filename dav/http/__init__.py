"""The strict HTTP/1.1 layer: cheroot's server with this package's connections and requests.

    settings    what a client may send, and how long it may take
    server      (dav/server.py) listens, serves, stops
    listener    the cheroot server: sockets, threads, certificates
    reception   the selector: accepts, and keeps connections that wait for their client
    connection  the stages of one connection; none waits for a client in a thread
    request     one request: framing, persistence, log
    gateway     WSGI
    head, target, body, response, proxy    the protocol; mostly pure functions
    stream, transport, tls, pool           bytes and threads

It knows nothing of WebDAV, and serves any WSGI application.
"""
