"""The methods of WebDAV, one module each: functions from a request to an answer."""
