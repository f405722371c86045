"""Server-sent events from the bytes of a stream. Pure.

After "Interpreting an event stream" of the WHATWG HTML Living Standard, section 9.2.6: lines end with CR LF, LF or CR,
an empty line sends the event, a comment begins with a colon, an id with NUL and a `retry` that is no number do nothing.
"""

from typing import NamedTuple


class Message(NamedTuple):
    """An event: its name, its data, and the id after which a reader goes on."""

    name: str
    data: str
    last_id: str


class Parser:
    """Takes the bytes as they come, in pieces of any size. `last_id` outlives a connection: hand it to the next one."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_s: float | None = None
        """What the server wants a reader to wait before it connects again."""
        self._rest = b""
        self._begun = False
        self._name, self._data, self._id = "", list[str](), last_id

    def feed(self, content: bytes) -> list[Message]:
        """Return the events that are complete now."""
        found = []
        *lines, self._rest = self._split(self._rest + content)
        for line in lines:
            message = self._take(line.decode(errors="replace"))
            if message is not None:
                found.append(message)
        return found

    def _split(self, content: bytes) -> list[bytes]:
        if not self._begun and len(content) >= 3:
            self._begun = True
            content = content.removeprefix(b"\xef\xbb\xbf")
        # A CR at the very end may be the first half of CR LF.
        held = content.endswith(b"\r")
        lines = content.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if held:
            lines[-1] += b"\r"
        return lines

    def _take(self, line: str) -> Message | None:
        if not line:
            return self._send()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_s = int(value) / 1000
        return None

    def _send(self) -> Message | None:
        self.last_id = self._id
        name, data, self._name, self._data = self._name, self._data, "", []
        return Message(name or "message", "\n".join(data), self.last_id) if data else None
