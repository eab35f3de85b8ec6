"""The server, as a linked device talks to it: requests, retries, chunks, tokens, the change feed.

    remote = Remote(Connection("https://drive.example.org", credentials))
    welcome = remote.welcome()
    place = wire.Place(welcome.volumes[0].id)
    head = remote.head(place)

The server is not trusted with this machine: names that could lead out of a folder, content that
is not what its id says, answers that are too large or malformed end in UntrustedError.
"""
