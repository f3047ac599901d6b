"""The fields of a form (``multipart/form-data``, RFC 7578), as far as a rule needs them.

The audio and image endpoints take forms: a file, and the model in a field beside it. Only
short fields are read. Whatever could be read in two ways is not read at all: a guard would
look at one model and the provider use the other.
"""

import re

_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\r\n]{1,200})"|([^\s;",]{1,200}))', re.I)
_DISPOSITION = re.compile(rb"^content-disposition:([^\r\n]*)\Z", re.I)
_NAME = re.compile(rb';\s*name=(?:"([^"\\]*)"|([^\s;"]+))', re.I)
_FILE = re.compile(rb";\s*filename\*?=", re.I)

_MAX_PARTS = 256
_MAX_HEAD = 4096
_MAX_VALUE = 64 * 1024


class UnreadableForm(ValueError):
    """The form can be read in more than one way, or not at all."""


def read_form(content_type: bytes, body: bytes) -> dict[str, bytes]:
    """The fields that are no files.

    Returns:
        The last value of each name in lower case, without those over 64 KiB.

    Raises:
        UnreadableForm: there is no boundary, the parts do not fit it, there are too many
            of them, or one field has two values.
    """
    marks = _BOUNDARY.findall(content_type)
    if len(marks) != 1:
        raise UnreadableForm
    mark = b"\r\n--" + (marks[0][0] or marks[0][1])
    parts = (b"\r\n" + body).split(mark, _MAX_PARTS)
    if len(parts) < 2 or len(parts) > _MAX_PARTS or not parts[-1].startswith(b"--"):
        raise UnreadableForm
    fields: dict[str, bytes] = {}
    for part in parts[1:-1]:
        found = _read_part(part)
        if found is not None and fields.setdefault(*found) != found[1]:
            raise UnreadableForm
    return fields


def _read_part(part: bytes) -> tuple[str, bytes] | None:
    """Name and value; None for a file and for what is too long to be of interest."""
    end = part.find(b"\r\n\r\n", 0, _MAX_HEAD)
    if end < 0 or not part.startswith(b"\r\n"):
        raise UnreadableForm
    name = b""
    for line in part[2:end].split(b"\r\n"):
        if line[:1] in b" \t" or line[:26].lower().startswith(
            b"content-transfer-encoding"
        ):
            raise UnreadableForm
        found = _DISPOSITION.match(line)
        if found is None:
            continue
        names = _NAME.findall(found.group(1))
        if name or len(names) != 1 or b"name*" in found.group(1).lower():
            raise UnreadableForm
        name = names[0][0] or names[0][1]
        if _FILE.search(found.group(1)):
            return None
    value = part[end + 4 :]
    if len(value) > _MAX_VALUE:
        return None
    return name.decode("utf-8", "replace").lower(), value
