"""What lies where under a root. A name is part of the stored format: to change one is a migration."""

from typing import Final

JOURNAL: Final = "journal.db"
OBJECTS: Final = "objects"
TABLES: Final = "tables"
VIEWS: Final = "views.json"
LOCKS: Final = "locks"
