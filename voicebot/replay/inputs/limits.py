"""How large a recording may be."""

MAX_SECONDS = 12 * 3600
MAX_FILE_BYTES = 8 << 30
MAX_RATE = 192_000
MAX_TEXT_BYTES = 16 << 20
"""Of a transcript or a timeline."""
MAX_CAPTURE_BYTES = 1 << 30
IN_MEMORY_BYTES = 64 << 20
"""Sound beyond this is decoded into a temporary file and mapped."""
