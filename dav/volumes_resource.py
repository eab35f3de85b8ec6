"""The resource for WsgiDAV's own methods that lists the volumes."""

from __future__ import annotations

from wsgidav.dav_provider import DAVCollection

from dav.resources import FileResource, FolderResource, Session


class VolumesResource(DAVCollection):
    """The list of the volumes that the user may see."""

    def __init__(self, session: Session) -> None:
        super().__init__("/", session.environ)
        self._session = session

    def get_member_names(self) -> list[str]:
        """Return the names of the volumes."""
        visible = self._session.rights.visible(self._session.principal)
        return [found.volume.name for found in visible]

    def get_member(self, name: str) -> FolderResource | FileResource | None:
        """Return a volume's root, None where there is none to see."""
        return self._session.resource(name, "")

    def support_etag(self) -> bool:
        """Return False."""
        return False

    def get_etag(self) -> None:
        """Return None."""
        return
